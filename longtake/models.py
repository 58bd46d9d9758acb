"""`longtake models`: which models there are, what they need, and whether their weights are whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Column, Table

from models import catalog
from models.model import CheckpointError
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from longtake.checkpoints.inventory import Component
    from models.memory.budget import Budget


@click.group()
def models() -> None:
    """List, describe and check the models and their weights.

    \b
    Example:
      longtake models list
      longtake models show tiny-shapes
      longtake models verify streaming-t2v
    """


@models.command("list")
def list_models() -> None:
    """Every model, with its licence and where its weights are."""
    name, place = Column("model", no_wrap=True), Column("weights", overflow="fold")
    table = Table(name, "frames", "refined", "longest", "licence", place)
    for model in catalog.MODELS.values():
        try:
            weights = ", ".join(str(folder_of(name)) for name in sorted(model.weights))
        except CheckpointError:
            weights = "not here"
        longest = f"{model.max_frames} frames, {model.max_frames / model.fps / 60:g} min"
        refined = ", ".join(map(str, model.refined_sizes))
        table.add_row(model.name, str(model.size), refined, longest, model.licence, weights)
    Console().print(table)


@models.command()
@click.argument("name")
def show(name: str) -> None:
    """A model, or the folder of a checkpoint: its components, its licence, and what it needs of a GPU.

    What draws first chunks only comes on top of a model, and nothing is counted for it.
    """
    from longtake.checkpoints import inventory, needs
    from models.streaming_t2v.pipeline import StreamingPipeline

    model = catalog.MODELS.get(name)
    if model is not None:
        click.echo(f"{model.description}\nLicence: {model.licence}")
    try:
        folder = find(name)
    except CheckpointError:
        if model is not None:
            _show_needs(needs.of_published(model))
        raise
    licence = folder / "LICENSE.md"
    click.echo(f"Weights: {folder}" + (f"\nLicences of its parts: {licence}" if licence.is_file() else ""))
    Console().print(_table(inventory.components(folder)))
    if inventory.pipeline(folder) == StreamingPipeline.__name__:
        _show_needs(needs.of_folder(folder, model))


def _show_needs(budget: Budget) -> None:
    from longtake.checkpoints import needs

    with Console(stderr=True).status("counting"):
        table, here = needs.table(budget), needs.here(budget)
    Console().print(table)
    click.echo(here)


def _table(components: list[Component]) -> Table:
    from longtake.checkpoints.inventory import BYTES, gigabytes

    kind = Column("class", overflow="fold")
    table = Table(Column("component", no_wrap=True), kind, "parameters", "stored as", *(f"{d}, GB" for d in BYTES))
    for part in components:
        sizes = [f"{gigabytes(part.parameters, size):.2f}" if part.parameters else "" for size in BYTES.values()]
        count = f"{part.parameters:,}" if part.parameters else ""
        table.add_row(part.name, part.kind, count, part.stored_as, *sizes)
    total = sum(part.parameters for part in components)
    table.add_section()
    table.add_row("all", "", f"{total:,}", "", *(f"{gigabytes(total, size):.2f}" for size in BYTES.values()))
    return table


@models.command()
@click.argument("name")
def verify(name: str) -> None:
    """Check a model's weights, or a folder: missing components, names and shapes of tensors, SHA-256 of every file."""
    model = catalog.MODELS.get(name)
    for weights in sorted(model.weights) if model else [name]:
        _verify(folder_of(weights))


def _verify(folder: Path) -> None:
    from longtake.checkpoints import inventory

    with Console(stderr=True).status("") as status:
        found = list(inventory.problems(folder, lambda file: status.update(f"SHA-256 of {file}")))
    for problem in found:
        click.echo(problem, err=True)
    if found:
        raise click.ClickException(f"{folder} is not whole; convert or fetch it again.")
    summed = (folder / inventory.CHECKSUMS).is_file()
    click.echo(f"{folder} is whole" + ("." if summed else f"; it has no {inventory.CHECKSUMS} to compare bytes with."))


def find(name: str) -> Path:
    """The folder of a model's checkpoint, by its name, or of any checkpoint."""
    model = catalog.MODELS.get(name)
    return folder_of(model.checkpoint if model else name)


def folder_of(weights: str) -> Path:
    """Where weights of that name are."""
    from models.loading import find_checkpoint

    folder = Path(find_checkpoint(WorkerSettings().checkpoints.get(weights, weights)))
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is on the Hub; only weights on this machine can be looked at.")
    return folder
