"""`longtake train`: train the bundled model, or any checkpoint's CAM and APM, stage by stage, as a recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from longtake.training.recipe import STAGES, Recipe, RecipeError, read
from models.model import CheckpointError


@click.command()
@click.argument("stages", nargs=-1, type=click.Choice([*STAGES, "all", "bundle"]), required=True)
@click.option(
    "--config", default="tiny-shapes", show_default=True, help="The recipe: a TOML file, or one of tiny-shapes, paper."
)
@click.option("--checkpoint", help="Begin with this checkpoint: a bundled name, or a folder in diffusers layout.")
@click.option("--runs", type=click.Path(path_type=Path), help="Where progress, logs and the result are kept.")
@click.option("--videos", type=click.Path(path_type=Path), help="Train cam and apm on the videos of this folder.")
@click.option("--fps", type=float, help="Frames a second to read videos at.")
@click.option("--minutes", type=float, help="Time for each stage, in all its sittings.")
@click.option("--steps", type=int, help="Steps for each stage instead: the same seed then gives the same weights.")
@click.option("--processes", type=int, help="On the CPU, of one thread each; gradients are averaged.")
@click.option("--seed", type=int)
@click.option(
    "--into", type=click.Path(path_type=Path), help="Folder of checkpoints that `bundle` writes to; the bundled ones'."
)
def train(stages: tuple[str, ...], config: str, into: Path | None, **options: Any) -> None:
    """Train STAGES (or all that the recipe has), each on top of those before it. Options override the recipe.

    Stop it whenever you like: the same command goes on where it was, and at most two minutes are lost (a recipe's
    `keep_every_s`). `bundle` collects a tiny-shapes that was trained from nothing. For several GPUs put `accelerate
    launch -m` before it.

    \b
    Example:
      longtake train all
      longtake train cam apm --checkpoint tiny-shapes --videos footage --steps 5000
      longtake train cam apm --config paper --checkpoint streaming-t2v --videos footage
      longtake train cam apm --config my-recipe.toml
    """
    if options["minutes"] is not None and options["steps"] is not None:
        raise click.UsageError("Give --minutes or --steps, not both.")
    try:
        recipe = read(config, changes(stages, **options))
    except RecipeError as error:
        raise click.ClickException(str(error)) from error
    named = [name for name in stages if name in STAGES]
    if missing := [name for name in named if name not in recipe.stages]:
        raise click.UsageError(f"The recipe {config} has no table [{missing[0]}].")
    chosen = list(recipe.stages) if "all" in stages else named
    if recipe.data.videos and set(chosen) - {"cam", "apm"}:
        raise click.UsageError("Videos are for the stages cam and apm.")
    follow(recipe, chosen)
    if "bundle" in stages or ("all" in stages and recipe.checkpoint is None):
        collect(recipe, into)


def follow(recipe: Recipe, stages: list[str]) -> None:
    from longtake.training import processes
    from longtake.training.stages import open_folder, run, source_of
    from longtake.training.videos import FootageError

    try:
        source = source_of(recipe.data)
        open_folder(recipe)
        for stage in stages:
            run(stage, recipe, source)
    except (FootageError, CheckpointError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        processes.leave()


def collect(recipe: Recipe, into: Path | None) -> None:
    """The checkpoints that come with Longtake, of what the recipe has trained."""
    from longtake.training.bundle import BUNDLES, bundle
    from models.loading import BUNDLED

    if (result := str(recipe.result)) not in BUNDLES:
        raise click.UsageError(f"{result} is not bundled; there is {', '.join(BUNDLES)}.")
    try:
        for what in BUNDLES[result]:
            bundle(recipe.folder, (into or BUNDLED) / what.name, what)
    except CheckpointError as error:
        raise click.ClickException(str(error)) from error


def changes(stages: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """What the options change in a recipe; those that a stage is told, in each of the stages."""
    given = {key: value for key, value in options.items() if value is not None}
    data = {key: given.pop(key) for key in ("videos", "fps") if key in given}
    top = {key: given.pop(key) for key in ("checkpoint", "runs") if key in given}
    named = STAGES if "all" in stages else [name for name in stages if name in STAGES]
    return top | ({"data": data} if data else {}) | (dict.fromkeys(named, given) if given else {})
