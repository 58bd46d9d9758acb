"""What a video can be asked to be, as options of a command. The same words as the fields of the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from models import catalog

Command = TypeVar("Command", bound=Callable[..., Any])


def _models(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """For shells that complete words."""
    return [name for name in catalog.MODELS if name.startswith(begun)]


_OPTIONS = (
    click.option(
        "--model", shell_complete=_models, help="Name of the model; the first of GET /v1/models where not given."
    ),
    click.option("--seconds", type=float, help="Length in seconds."),
    click.option("--frames", type=int, help="Length in frames, instead of --seconds."),
    click.option("--size", metavar="WxH", help="One of the model's sizes, for example 128x128."),
    click.option("--seed", type=int, help="The same seed makes the same video."),
    click.option("--steps", type=int, help="Denoising steps a chunk."),
    click.option("--turbo", is_flag=True, default=None, help="Sooner, by the model's preset: docs/speed.md."),
    click.option("--refine/--no-refine", default=None, help="Refine to the model's larger size."),
    click.option("--interpolate", type=int, metavar="N", help="Make N frames of one: smoother, as long."),
    click.option("--upscale", type=int, metavar="N", help="Make both sides N times as long."),
    click.option("--first-chunk", metavar="SYSTEM", help="The system that draws the first chunk."),
    click.option("--streamer", metavar="SYSTEM", help="The system that goes on from it."),
    click.option("--guidance-scale", type=float, help="How strongly the prompt is followed."),
    click.option("--negative-prompt", help="What the video should not show."),
)


def video_options(command: Command) -> Command:
    """The options that describe a video; those not given are left out of the request."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def body_of(prompt: str, options: dict[str, Any]) -> dict[str, Any]:
    """The body of POST /v1/videos for these options."""
    body = {"prompt": prompt, "num_frames": options["frames"], **options}
    del body["frames"]
    recipe = {name: body.pop(name) for name in ("first_chunk", "streamer")}
    body["recipe"] = {name: system for name, system in recipe.items() if system} or None
    return {name: value for name, value in body.items() if value is not None}
