"""`longtake models`: which models there are, what they need, and whether their weights are whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Column, Table

from models import catalog, families
from models.families.family import Facts, Family, Option
from models.model import CatalogError, CheckpointError, Model, Size, listed
from service import additions
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from longtake.checkpoints.inventory import Component
    from longtake.checkpoints.stranger import Stranger
    from models.memory.budget import Budget


@click.group()
def models() -> None:
    """List, describe and check the models and their weights, and add others.

    \b
    Example:
      longtake models list
      longtake models show tiny-shapes
      longtake models verify streaming-t2v
      longtake models add ./helios --name helios
    """
    if click.get_current_context().invoked_subcommand != "remove":  # which mends what cannot be entered
        additions.settle(WorkerSettings())


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


@models.command()
@click.argument("place")
@click.option("--name", help="What requests call it; by default the last part of PLACE.")
@click.option("--family", "family_name", help="Of `models.families`, where more than one knows the checkpoint.")
@click.option("--size", "sizes", multiple=True, metavar="WxH", help="Instead of the release's; the default first.")
@click.option("--set", "options", multiple=True, metavar="OPTION=VALUE", help="How the family samples it.")
def add(place: str, name: str | None, family_name: str | None, sizes: Sequence[str], options: Sequence[str]) -> None:
    """Offer the checkpoint at PLACE, a folder or a Hub id, to be asked for like any other model.

    Says what it is, what it will do, under which licence, and how much memory its weights take. Runs nothing of it.
    Services that run learn of it when they start again.

    \b
    Example:
      longtake models add ./helios --name helios --size 640x384
    """
    from longtake.checkpoints import stranger

    settings = WorkerSettings()
    found = stranger.look_at(place)
    family = recognised(found.facts, place, family_name)
    chosen = dict(_option(family, option) for option in options)
    if chosen.get(family.beside):
        chosen[family.beside] = stranger.look_at(str(chosen[family.beside])).place
    model = family.describe(
        name or Path(found.place).name.partition("@")[0].lower(),
        found.place,
        found.facts,
        sizes=tuple(_size(size) for size in sizes),
        licence=found.licence,
        **chosen,
    )
    others = [other for other in additions.read(settings.added_models) if other.name != model.name]
    catalog.enter([*others, model])
    additions.write(settings.added_models, [*others, model])
    click.echo("\n".join(_told(model, found)))
    click.echo(f"Entered in {settings.added_models}; services that run must be started again.")


@models.command()
@click.argument("name")
def remove(name: str) -> None:
    """Offer a model that was added no longer. Its weights stay where they are."""
    file = WorkerSettings().added_models
    there = additions.read(file)
    left = [model for model in there if model.name != name]
    if len(left) == len(there):
        raise click.ClickException(f"{name} has not been added; there is {', '.join(m.name for m in there) or 'none'}.")
    additions.write(file, left)


def recognised(facts: Facts, place: str, asked: str | None) -> Family:
    """The family of a checkpoint. Raises `CatalogError('unknown_family')`."""
    known = families.known()
    if asked is not None and asked not in known:
        said = f"There is no family '{asked}'; there is {listed(sorted(known))}."
        raise CatalogError("unknown_family", "family", said)
    fitting = [family for family in known.values() if facts.pipeline in family.pipelines]
    fitting = [family for family in fitting if asked == family.name or (asked is None and not family.is_named)]
    if not fitting:
        streamed = sorted({pipeline for family in known.values() for pipeline in family.pipelines})
        said = f"{place} is a {facts.pipeline}, which no family streams; streamed are {listed(streamed)}."
        raise CatalogError("unknown_family", "family", said)
    return fitting[0]


def _told(model: Model, found: Stranger) -> Iterator[str]:
    weights = sum(found.weights_bytes.values())
    largest = max(found.weights_bytes, key=lambda part: found.weights_bytes[part], default="")
    seconds = model.new_frames / model.fps
    yield f"{model.name}: {model.description}"
    heard = ", with sound" if model.sound_rate else ""
    yield f"From {listed(model.inputs)}: {listed(model.sizes)} at {model.fps} frames a second{heard}."
    yield f"{model.chunk_frames} frames at first, then {model.new_frames} a chunk ({seconds:.3g} s), not refined."
    yield f"Licence: {model.licence}. Read it before you offer the model to others."
    if weights:
        most = f"{found.weights_bytes[largest] / 1e9:.2f} GB of them {largest}"
        yield f"Weights: {weights / 1e9:.2f} GB as they are stored, {most}."
        yield "A GPU must hold these and what a chunk computes with, or fetch layer by layer: LONGTAKE_MEMORY=medium."


def _size(text: str) -> Size:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.ClickException(f"--size is '{text}'; WIDTHxHEIGHT in pixels, 640x384.")
    return Size(int(width), int(height))


def _option(family: Family, text: str) -> tuple[str, Option]:
    """An option as the family has it: of the kind of its default."""
    name, _, value = text.partition("=")
    default = family.options.get(name, "")
    try:
        kinds = {"true": True, "false": False}
        return name, kinds[value] if isinstance(default, bool) else type(default)(value)
    except (KeyError, ValueError):
        raise click.ClickException(f"--set {name} is '{value}'; something like {default} is possible.") from None


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
