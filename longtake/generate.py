"""`longtake generate`: a video without the service, in this process."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from longtake.progress import VideoProgress
from longtake.request import video_options
from models import catalog
from models.catalog import CatalogError, Model, Stage

if TYPE_CHECKING:  # tensors are loaded when the request has been found good
    from models.recipe import VideoRequest


@click.command()
@click.argument("prompt")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The MP4 to write."
)
@video_options
def generate(prompt: str, output: Path, **options: Any) -> None:
    """Make a video of PROMPT here, without the service.

    \b
    Example:
      longtake generate "a red circle moving right on a black background" -o circle.mp4 --seconds 5
    """
    model = catalog.find(options["model"] or catalog.DEFAULT_MODEL)
    frames, refined = length(model, options), is_refined(model, options)
    catalog.caption(model, prompt)
    if not output.absolute().parent.is_dir():
        raise click.ClickException(f"There is no folder {output.absolute().parent}.")

    from models.recipe import RefineOptions, VideoRequest

    request = VideoRequest(
        prompt=prompt,
        negative_prompt=options["negative_prompt"] or "",
        num_frames=frames,
        seed=secrets.randbelow(2**31) if options["seed"] is None else options["seed"],
        steps=options["steps"] or model.default_steps,
        guidance_scale=model.default_guidance_scale if options["guidance_scale"] is None else options["guidance_scale"],
        anchor_guidance_scale=model.default_anchor_guidance_scale,
        refine=RefineOptions(model.default_refine_steps, model.default_refine_strength) if refined else None,
    )
    render(model, request, output)
    click.echo(f"{output}: {frames} frames, {frames / model.fps:g} s, seed {request.seed}")


def length(model: Model, options: dict[str, Any]) -> int:
    """Frames asked for, with --frames or with --seconds; a chunk's worth where neither is given."""
    if options["frames"] is not None and options["seconds"] is not None:
        raise CatalogError("invalid_request", "seconds", "Give --seconds or --frames, not both.")
    if options["seconds"] is not None:
        return catalog.check_frames(model, round(options["seconds"] * model.fps), "seconds")
    return catalog.check_frames(model, options["frames"] or 4 * model.fps, "frames")


def is_refined(model: Model, options: dict[str, Any]) -> bool:
    """A video is refined iff its size is the refined one; where nothing is said, it is."""
    size, refine = options["size"], options["refine"]
    if size is None:
        return refine is not False
    if size not in map(str, model.sizes):
        known = " and ".join(map(str, model.sizes))
        raise CatalogError("unknown_size", "size", f"{model.name} makes {known}, not {size}.")
    refined = size == str(model.refined_size)
    if refine is not None and refine != refined:
        raise CatalogError(
            "contradiction",
            "refine",
            f"Of {model.name}, {model.refined_size} is refined and {model.size} is not.",
        )
    return refined


def render(model: Model, request: VideoRequest, output: Path) -> None:
    """Make every unit in its order, and join what they show."""
    import torch

    from models.loading import load_pipeline
    from models.recipe import Recipe
    from workers import media
    from workers.settings import WorkerSettings

    torch.set_num_threads(WorkerSettings().torch_threads)  # the frames that the service would make
    shown = (Stage.REFINE,) if request.refine else (Stage.INITIALIZE, Stage.STREAM)
    segments: list[media.Encoded] = []
    with VideoProgress() as progress:
        progress.show(0, 1, f"loading {model.name}")
        recipe = Recipe(load_pipeline(model.checkpoint), model, request)
        total = len(recipe.plan)
        done = 0

        def on_step(step: int, steps: int) -> None:
            unit = recipe.plan[done]
            progress.show(done + step / steps, total, f"{unit.stage} {unit.index}, step {step}/{steps}")

        for unit, made in recipe.generate(on_step):
            done = unit.position + 1
            if unit.stage in shown and len(made.frames):
                segments.append(media.encode(made.frames, fps=model.fps, first_frame=unit.first_frame))
        progress.show(total, total, "joining")
        media.join(segments[0].init, (made.segment for made in segments), output)
