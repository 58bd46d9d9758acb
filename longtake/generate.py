"""`longtake generate`: a video without the service, in this process. Its frames are those of the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from longtake.progress import VideoProgress
from longtake.request import body_of, video_options
from models.units import Stage
from service import additions
from service.api.orders import job_of
from service.api.schemas import CreateVideo
from service.jobs import Generation
from service.policy import Policy, prompts_of
from workers.settings import WorkerSettings

if TYPE_CHECKING:  # tensors are loaded when the request has been found good
    import numpy as np

    from workers import media


@click.command()
@click.argument("prompt")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The MP4 to write."
)
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A picture that the video begins with: PNG, JPEG or WebP.",
)
@video_options
def generate(prompt: str, output: Path, image: Path | None, **options: Any) -> None:
    """Make a video of PROMPT here, without the service.

    \b
    Example:
      longtake generate "a red circle moving right on a black background" -o circle.mp4 --seconds 5
      longtake generate "a blue star moving up on a navy background" -o star.mp4 --image star.png
    """
    settings = WorkerSettings()
    additions.settle(settings)
    wanted = understand(body_of(prompt, options), settings, with_image=image is not None)
    if not output.absolute().parent.is_dir():
        raise click.ClickException(f"There is no folder {output.absolute().parent}.")
    write(wanted, settings, output, picture(image) if image else None)
    made, seconds = wanted.made, wanted.num_frames / wanted.fps
    click.echo(f"{output}: {made.frames} frames of {made.size}, {seconds:g} s, seed {wanted.seed}")


def understand(body: dict[str, Any], settings: WorkerSettings, *, with_image: bool) -> Generation:
    """The request judged as the API judges it."""
    try:
        wanted = job_of(CreateVideo(**body), tenant="", settings=settings, with_image=with_image).generation
    except ValidationError as error:
        first = error.errors()[0]
        raise click.ClickException(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    Policy(settings).check_request(prompts_of(wanted))
    return wanted


def picture(file: Path) -> np.ndarray:
    """The pixels of a picture; no more of a file is read than a picture may have."""
    import numpy as np

    from models import pictures

    with file.open("rb") as opened:
        return np.asarray(pictures.decode(opened.read(pictures.MAX_BYTES + 1), "--image"))


def write(wanted: Generation, settings: WorkerSettings, output: Path, image: np.ndarray | None) -> None:
    """Make the video beside its place, then put it there: a file with that name is whole."""
    from workers import media, provenance

    with VideoProgress() as progress:
        track = list(encoded(wanted, settings, image, progress))
        part = output.with_name(f".{output.name}.part")
        try:
            media.join(track[0].init, (made.segment for made in track), part)
            provenance.attach(part, wanted, settings)
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)


def encoded(
    wanted: Generation, settings: WorkerSettings, image: np.ndarray | None, progress: VideoProgress
) -> Iterator[media.Encoded]:
    """The segments of the video, unit by unit."""
    progress.show(0, 1, f"loading {wanted.model}")
    import torch

    from models.recipe import Recipe
    from workers import media
    from workers.workshop import load, load_system, request_of

    torch.set_num_threads(settings.torch_threads)
    model = wanted.recipe()
    request = replace(request_of(wanted), image=image)
    pipeline = load(model, settings)
    systems = {system: load_system(model, system, settings, beside=pipeline) for system in wanted.systems()}
    recipe = Recipe(pipeline, model, request, systems)
    units, of_stage = len(recipe.plan), Counter(unit.stage for unit in recipe.plan)
    done = 0

    def on_step(step: int, steps: int) -> None:
        unit = recipe.plan[done]
        doing = f"{unit.stage} {unit.index + (unit.stage is not Stage.STREAM)}/{of_stage[unit.stage]}"
        progress.show(done + step / steps, units, f"{doing}, step {step}/{steps}")

    for unit, made in recipe.generate(on_step):
        done = unit.position + 1
        if unit.stage.track == wanted.tracks[-1] and len(made.frames):
            fps = wanted.fps_of(unit.stage)
            yield media.encode(made.frames, fps=fps, first_frame=unit.first_frame, sound=made.sound)
    progress.show(units, units, "joining")
