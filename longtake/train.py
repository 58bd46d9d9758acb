"""`longtake train`: train the bundled model, stage by stage, stopped and resumed at will."""

from __future__ import annotations

from pathlib import Path

import click

ORDER = ("vae", "text", "layout", "clip", "first_chunk", "cam", "apm", "refiner")


@click.command()
@click.argument("stages", nargs=-1, type=click.Choice([*ORDER, "all", "bundle", "unbundle"]), required=True)
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Where progress is kept."
)
@click.option("--minutes", type=float, help="Time for each stage, in all its sittings; the stage's own by default.")
@click.option("--steps", type=int, help="Steps for each stage instead: the same seed then gives the same weights.")
@click.option(
    "--videos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="For cam and apm: train on the videos of this folder, each with its caption in a .txt beside it.",
)
@click.option("--fps", type=float, default=3.0, show_default=True, help="Frames a second to read them at.")
@click.option("--processes", type=int, default=2, show_default=True, help="One thread each; gradients are averaged.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--into", type=click.Path(path_type=Path), help="Where `bundle` writes; the bundled checkpoint by default."
)
def train(
    stages: tuple[str, ...],
    runs: Path,
    minutes: float | None,
    steps: int | None,
    videos: Path | None,
    fps: float,
    processes: int,
    seed: int,
    into: Path | None,
) -> None:
    """Train STAGES of tiny-shapes on drawn video, each on top of those before it; `bundle` collects the result.

    `unbundle` begins with the bundled weights instead of nothing. Stop it whenever you like: the same command goes on
    where it was, and at most two minutes are lost.

    \b
    Example:
      longtake train all
      longtake train first_chunk --minutes 120
      longtake train cam apm --videos footage --steps 5000
      longtake train bundle
    """
    if minutes is not None and steps is not None:
        raise click.UsageError("Give --minutes or --steps, not both.")

    from longtake.training.bundle import bundle, unbundle
    from longtake.training.loop import Budget
    from longtake.training.stages import ON_FOOTAGE, run
    from longtake.training.streaming import DRAWN
    from longtake.training.videos import FootageError, VideoSource
    from models.loading import BUNDLED

    trained = runs / "tiny-shapes"
    if videos and set(stages) - set(ON_FOOTAGE):
        raise click.UsageError(f"--videos is for the stages {' and '.join(ON_FOOTAGE)}.")
    try:
        source = VideoSource(videos, size=DRAWN.size, fps=fps) if videos else None
    except FootageError as error:
        raise click.ClickException(str(error)) from error
    budget = None if minutes is steps is None else Budget(minutes, steps)
    for stage in (*ORDER, "bundle") if "all" in stages else stages:
        if stage == "bundle":
            bundle(trained, into or BUNDLED / "tiny-shapes")
        elif stage == "unbundle":
            unbundle(BUNDLED / "tiny-shapes", trained)
        else:
            run(stage, checkpoint=trained, runs=runs, budget=budget, processes=processes, seed=seed, source=source)
