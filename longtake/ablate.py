"""`longtake ablate`: the paper's ablation tables, and its comparison, on held-out captions of the shapes world."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Shown

NAMES = ("conditioning", "appearance", "blending", "systems", "turbo", "turbo-refinement")


@click.command()
@click.argument("names", metavar="TABLE...", nargs=-1, type=click.Choice([*NAMES, "all"]), required=True)
@click.option("--videos", type=click.IntRange(min=1), default=50, show_default=True, help="Of every row.")
@click.option("--frames", type=click.IntRange(min=17), help="Length of each; the table's own by default.")
@click.option(
    "--steps", default=900, show_default=True, help="Training of the networks of `conditioning`, unless done."
)
@click.option(
    "--sampling-steps", type=click.IntRange(min=1), help="Of a chunk; the table's own by default, the service's are 25."
)
@click.option("--row", "rows", multiple=True, help="Only rows with this in their names; may be given several times.")
@click.option("--processes", default=2, show_default=True, help="One thread each.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs/ablations"), show_default=True, help="What is kept."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there.")
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make no table, but a PNG of what the rows of the one TABLE make of one caption, with X-T slices.",
)
def ablate(
    names: tuple[str, ...],
    videos: int,
    frames: int | None,
    steps: int,
    sampling_steps: int | None,
    rows: tuple[str, ...],
    processes: int,
    runs: Path,
    json_file: Path | None,
    sheet: Path | None,
) -> None:
    """Make TABLE: conditioning (CAM, Add-Cond, Conc-Cond), appearance (APM and its anchor), blending, systems (each
    alone, and with StreamingT2V going on from it), turbo and turbo-refinement (what is left out for speed), or all.

    Takes hours on two cores. Stop it whenever you like: what is trained and measured is kept in --runs, and the same
    command goes on from there.

    \b
    Example:
      longtake ablate conditioning
      longtake ablate appearance blending --videos 100
      longtake ablate systems --sheet systems.png
      longtake ablate turbo --row exact --row distilled
    """
    from longtake.ablation import networks, series, video
    from longtake.ablation.tables import TABLES

    chosen = NAMES if "all" in names else names
    if sheet and len(chosen) > 1:
        raise click.UsageError("--sheet is for one TABLE.")
    figures = {}
    for name in chosen:
        try:
            table = TABLES[name].of(rows)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        length, chunk_steps = frames or table.frames, sampling_steps or table.steps
        for stage in table.stages:
            networks.learn(stage, runs, steps, processes)
        if sheet:
            draw_sheet(sheet, name, length, chunk_steps, runs)
            continue
        compare = partial(video.compare, name, length, chunk_steps, runs)
        columns = TextColumn("{task.description}"), MofNCompleteColumn(), TextColumn("captions"), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(name, total=videos)
            kept = runs / f"{name}-{length}-{chunk_steps}.jsonl"
            weights = networks.fingerprint(runs, TABLES[name].stages, TABLES[name].checkpoints)
            variants = [variant.name for variant in table.variants]
            told = series.collect(kept, weights, videos, variants, compare, processes, partial(progress.advance, task))
        figures[name] = series.means(told)
        Console(width=120).print(shown(f"{table.title}: {videos} videos of {length} frames", figures[name]))
    if json_file:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


def draw_sheet(target: Path, name: str, frames: int, steps: int, runs: Path) -> None:
    from longtake.ablation.sheet import sheet

    caption, picture = sheet(name, frames, steps, runs)
    picture.save(target, optimize=True)
    click.echo(f"{target}: {caption}")


def shown(title: str, figures: dict[str, dict[str, tuple[float, float] | None]]) -> Shown:
    """A row a variant: mean ± standard error."""
    columns = list(next(iter(figures.values())))
    table = Shown("", *(column.replace("_", " ") for column in columns), title=title)
    for name, row in figures.items():
        table.add_row(name, *(cell(row[column]) for column in columns))
    return table


def cell(spread: tuple[float, float] | None) -> str:
    return "–" if spread is None else f"{spread[0]:.3f} ± {spread[1]:.3f}"
