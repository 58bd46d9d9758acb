"""`longtake evaluate`: what video files are worth, or how well a model follows prompts and how long its videos hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table

from models import catalog
from models.model import CatalogError

OF_VIDEOS = ("pictures", "seams", "clip", "prompt", "raft")
OF_THE_SUITE = ("suite", "model", "checkpoint", "captions", "roll_outs", "frames", "sheet", "edits")
MOST_COLUMNS = 6  # of videos on a screen

Rows = Mapping[str, Mapping[str, float | None]]


def seam_rule(ctx: click.Context, param: click.Parameter, value: str | None) -> range | None:
    """'16:8' -> 16, 24, 32, …"""
    if value is None:
        return None
    first, _, every = value.partition(":")
    if not (first.isdecimal() and every.isdecimal() and int(first) and int(every)):
        raise click.BadParameter(f"{value!r} is not two numbers above 0, as in 16:8.")
    return range(int(first), sys.maxsize, int(every))


@click.command()
@click.argument("videos", metavar="[VIDEO]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--pictures", type=click.Path(file_okay=False, path_type=Path), help="Folder for X-T slices and plots.")
@click.option(
    "--seams", metavar="FIRST:EVERY", callback=seam_rule, help="Where chunks begin; 16:8 in videos of tiny-shapes."
)
@click.option("--clip", type=click.Path(file_okay=False, path_type=Path), help="Folder of a CLIP pair to judge with.")
@click.option("--prompt", help="What the videos are to show, for --clip.")
@click.option(
    "--raft",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Weights of RAFT, for MAWE by its flow.",
)
@click.option("--suite", is_flag=True, help="Measure a model; the default where no VIDEO is given.")
@click.option("--model", default=catalog.DEFAULT_MODEL, show_default=True, help="Whose limits and defaults to use.")
@click.option("--checkpoint", help="Other weights: a folder in diffusers layout.")
@click.option("--captions", default=64, show_default=True, help="Held-out captions for the first chunk.")
@click.option("--roll-outs", default=16, show_default=True, help="Long videos for each variant of the method.")
@click.option("--frames", default=80, show_default=True, help="Length of a long video.")
@click.option("--edits", default=0, help="Measure a model that changes clips instead: so many of them.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a PNG of eight videos there.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there.")
@click.pass_context
def evaluate(ctx: click.Context, /, videos: tuple[Path, ...], json_file: Path | None, **options: Any) -> None:
    """Measure video files, or a model of the shapes world with its tracker.

    \b
    Example:
      longtake evaluate take.mp4 --seams 16:8 --pictures pictures
      longtake evaluate --captions 64 --roll-outs 16 --frames 80
      longtake evaluate --edits 40 --model tiny-controlnet-canny
    """
    if json_file and not json_file.absolute().parent.is_dir():
        raise click.ClickException(f"There is no folder {json_file.absolute().parent}.")
    refuse_strangers(ctx, OF_THE_SUITE if videos else OF_VIDEOS, "a model" if videos else "video files")
    if videos:
        figures = of_videos(videos, **{name: options[name] for name in OF_VIDEOS})
    elif options["edits"]:
        refuse_strangers(ctx, tuple({*OF_THE_SUITE} - {"model", "checkpoint", "edits"}), "a model that draws")
        named = ctx.get_parameter_source("model") is ParameterSource.COMMANDLINE
        figures = of_an_editor(options["model"] if named else None, options["checkpoint"], options["edits"])
    else:
        figures = of_a_model(**{name: options[name] for name in OF_THE_SUITE if name not in ("suite", "edits")})
    if json_file:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


def refuse_strangers(ctx: click.Context, names: tuple[str, ...], whose: str) -> None:
    """No option is taken and then ignored."""
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is for measuring {whose}.")


def of_videos(
    videos: tuple[Path, ...],
    *,
    pictures: Path | None,
    seams: Container[int] | None,
    clip: Path | None,
    prompt: str | None,
    raft: Path | None,
) -> Rows:
    if prompt is not None and clip is None:
        raise click.UsageError("--prompt needs --clip, the folder of a CLIP pair.")
    from longtake.evaluation import measurement

    rows = measurement.run(videos, chunk_starts=seams, clip=clip, prompt=prompt, pictures=pictures, raft=raft)
    figures = {**rows, "mean": mean(rows)} if len(rows) > 1 else rows
    show(side_by_side(figures if len(rows) <= MOST_COLUMNS else {f"mean of {len(rows)} videos": figures["mean"]}))
    return figures


def of_a_model(
    *, model: str, checkpoint: str | None, captions: int, roll_outs: int, frames: int, sheet: Path | None
) -> Rows:
    from longtake.evaluation import suite

    pipeline, entry = suite.load(model, checkpoint)
    figures = suite.run(pipeline, entry, captions=captions, roll_outs=roll_outs, frames=frames)
    if "first chunk" in figures:
        show(table(f"{captions} held-out captions, first chunk", {"": figures["first chunk"]}))
    variants = {name: row for name, row in figures.items() if name != "first chunk"}
    if variants:
        show(table(f"{roll_outs} roll-outs to {frames} frames", variants))
    if sheet:
        suite.write_sheet(pipeline, entry, frames, sheet)
    return figures


def of_an_editor(name: str | None, checkpoint: str | None, edits: int) -> Rows:
    from longtake.evaluation.edits import run

    try:
        model = catalog.editor(name, catalog.MODELS)
    except CatalogError as error:
        raise click.ClickException(str(error)) from error
    figures = run(model, checkpoint, edits)
    show(table(f"{edits} held-out clips, changed by {model.name}", figures))
    return figures


def mean(rows: Rows) -> dict[str, float | None]:
    """Mean of every figure over the videos that have it."""
    names = list(next(iter(rows.values())))
    having = {name: [value for row in rows.values() if (value := row[name]) is not None] for name in names}
    return {name: fmean(values) if values else None for name, values in having.items()}


def side_by_side(rows: Rows) -> Table:
    """A column a video, under the name of its file."""
    made = Table("", *(Path(name).name for name in rows))
    for figure in next(iter(rows.values())):
        made.add_row(figure.replace("_", " "), *(cell(row[figure]) for row in rows.values()))
    return made


def table(title: str, rows: Rows) -> Table:
    columns = list(next(iter(rows.values())))
    made = Table("", *(name.replace("_", " ") for name in columns), title=title)
    for name, row in rows.items():
        made.add_row(name, *(cell(row[column]) for column in columns))
    return made


def cell(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def show(made: Table) -> None:
    Console(width=100).print(made)
