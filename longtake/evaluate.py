"""`longtake evaluate`: how well a checkpoint follows prompts and how long its videos hold together."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models import catalog


@click.command()
@click.option("--model", default=catalog.DEFAULT_MODEL, show_default=True, help="Whose limits and defaults to use.")
@click.option("--checkpoint", help="Other weights: a folder in diffusers layout.")
@click.option("--captions", default=64, show_default=True, help="Held-out captions for the first chunk.")
@click.option("--roll-outs", default=16, show_default=True, help="Long videos for each variant of the method.")
@click.option("--frames", default=80, show_default=True, help="Length of a long video.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a PNG of eight videos there.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there.")
def evaluate(
    model: str,
    checkpoint: str | None,
    captions: int,
    roll_outs: int,
    frames: int,
    sheet: Path | None,
    json_file: Path | None,
) -> None:
    """Measure a model of the shapes world with its tracker.

    \b
    Example:
      longtake evaluate --captions 64 --roll-outs 16 --frames 80
    """
    entry = catalog.find(model)

    import torch

    from models.evaluation import following, gap
    from models.loading import load_pipeline
    from workers.settings import WorkerSettings

    torch.set_num_threads(WorkerSettings().torch_threads)  # the frames that the service would make
    pipeline = load_pipeline(checkpoint or entry.checkpoint)
    console = Console(width=100)
    figures: dict[str, dict[str, float]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        if captions:
            task = progress.add_task("first chunks", total=captions)
            made = following.evaluate_first_chunks(pipeline, entry, captions, lambda: progress.advance(task))
            figures["first chunk"] = {**made, "caption gap": gap.caption_gap(pipeline)}
        for variant in following.VARIANTS if roll_outs else ():
            task = progress.add_task(variant, total=roll_outs)
            figures[variant] = following.evaluate_roll_outs(
                pipeline,
                entry,
                roll_outs,
                frames,
                variant,
                lambda task=task: progress.advance(task),  # type: ignore[misc]
            )
    if "first chunk" in figures:
        console.print(_table(f"{captions} held-out captions, first chunk", {"": figures["first chunk"]}))
    variants = {name: row for name, row in figures.items() if name != "first chunk"}
    if variants:
        console.print(_table(f"{roll_outs} roll-outs to {frames} frames", variants))
    if sheet:
        from longtake.contact_sheet import contact_sheet

        prompts = [str(caption) for caption in following.held_out_captions(8)]
        contact_sheet(pipeline, entry, prompts, frames, every=5).save(sheet, optimize=True)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


def _table(title: str, rows: dict[str, dict[str, float]]) -> Table:
    columns = list(next(iter(rows.values())))
    table = Table("", *(name.replace("_", " ") for name in columns), title=title)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[column]:.3f}" for column in columns))
    return table
