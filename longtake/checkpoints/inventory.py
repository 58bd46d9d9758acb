"""What a checkpoint folder holds: its components, their sizes, and whether every file is what it should be.

Reads headers and hashes files; loads no weights. Knows nothing of how a folder came to be, but for its checksums.
"""

from __future__ import annotations

import glob
import hashlib
import importlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.model import CheckpointError
from models.released.weights import Weights, find_weights
from models.streaming_t2v.convert import ConversionError, check

CHECKSUMS, INDEX = "checksums.json", "model_index.json"
BYTES = {"fp32": 4, "fp16, bf16": 2}


@dataclass(frozen=True)
class Component:
    """One entry of `model_index.json`; `weights` is None for a tokenizer or a schedule."""

    name: str
    library: str
    kind: str
    folder: Path
    weights: Weights | None = None

    @property
    def parameters(self) -> int:
        return sum(like.numel() for like in self.weights.like.values()) if self.weights else 0

    @property
    def stored_as(self) -> str:
        kinds = {str(like.dtype).removeprefix("torch.") for like in self.weights.like.values()} if self.weights else ()
        return ", ".join(sorted(kinds))


def components(folder: Path) -> list[Component]:
    """The components of a checkpoint. Raises `CheckpointError` for one that is missing or cut short."""
    return [_component(*entry) for entry in _entries(folder)]


def pipeline(folder: Path) -> str:
    """The name of the class that loads a checkpoint."""
    return str(_index(folder).get("_class_name"))


def _index(folder: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no checkpoint: its {INDEX} is missing or damaged.") from error
    return index


def _entries(folder: Path) -> list[tuple[Path, str, str]]:
    """What the index names: a component's folder, its library and its class."""
    named = {name: entry for name, entry in _index(folder).items() if isinstance(entry, list) and None not in entry}
    return [(folder / name, library, kind) for name, (library, kind) in named.items()]


def _component(folder: Path, library: str, kind: str) -> Component:
    if not folder.is_dir():
        raise CheckpointError(f"The component {folder.name} is missing.")
    if (folder / "config.json").is_file():  # of networks; a schedule's and a tokenizer's have other names
        try:
            return Component(folder.name, library, kind, folder, find_weights(folder))
        except ConversionError as error:
            raise CheckpointError(f"{folder.name}: {error}") from error
    if not any(folder.glob("*.json")):
        raise CheckpointError(f"The component {folder.name} is empty.")
    return Component(folder.name, library, kind, folder)


def gigabytes(parameters: int, bytes_each: int) -> float:
    """What weights take in memory."""
    return math.ceil(parameters * bytes_each / 1e7) / 100


def problems(folder: Path, on_file: Callable[[str], None]) -> Iterator[str]:
    """What is wrong with a checkpoint, a sentence each: components, names and shapes of tensors, checksums."""
    for entry in _entries(folder):
        try:
            yield from _misfits(_component(*entry))
        except CheckpointError as error:
            yield str(error)
    yield from _changed(folder, on_file)


def seal(folder: Path) -> None:
    """Take the checksums of a checkpoint that is whole, through links too; its README may still be written."""
    within = (folder / name for name in glob.glob("**", root_dir=folder, recursive=True, include_hidden=True))
    files = sorted(path for path in within if path.is_file() and path.name not in (CHECKSUMS, "README.md"))
    sums = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=2) + "\n")


def _misfits(component: Component) -> Iterator[str]:
    """Names and shapes that are not those of the class."""
    if component.weights is None:
        return
    model = empty(component)
    try:
        check(component.name, component.weights.like, {key: value.shape for key, value in model.state_dict().items()})
    except ConversionError as error:
        yield f"{error}."


def empty(component: Component) -> Any:
    """The network on the meta device."""
    kind = getattr(importlib.import_module(component.library), component.kind)
    with torch.device("meta"):
        if component.library == "transformers":
            return kind(kind.config_class.from_pretrained(component.folder))
        return kind.from_config(kind.load_config(component.folder))


def _changed(folder: Path, on_file: Callable[[str], None]) -> Iterator[str]:
    """Files that are missing, or not what they were when the checksums were taken."""
    if not (folder / CHECKSUMS).is_file():
        return
    for name, digest in json.loads((folder / CHECKSUMS).read_text()).items():
        on_file(name)
        try:
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    yield f"{name} has changed since it was written."
        except OSError:
            yield f"{name} is missing."
