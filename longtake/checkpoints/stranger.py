"""A checkpoint that somebody else has made, in a folder or on the Hub: what it says of itself, and whether to trust it.

Reads texts and the sizes of files, and fetches no weights. Refuses what would run code: modules in a checkpoint, and
pickles where there is nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from models.families.family import Facts
from models.model import CheckpointError

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers", "ltx2")  # the last a folder of diffusers' pipelines, with parts of LTX-2
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
CONFIGS = ("config.json", "scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Stranger:
    """place: an absolute folder, or a Hub id with the revision that was looked at. weights_bytes: of each component's
    weights as they are stored. licence: as the checkpoint's card says; empty where it does not.
    """

    place: str
    facts: Facts
    licence: str
    weights_bytes: Mapping[str, int]


@dataclass(frozen=True)
class _Files:
    """What there is at a place, by names from the root, with sizes in bytes; and how one is read."""

    place: str
    sizes: Mapping[str, int]
    read: Callable[[str], str]


def look_at(place: str) -> Stranger:
    """What a folder or Hub id holds. Raises `CheckpointError`: nothing there, code to be run, or pickles only."""
    files = _of_folder(Path(place)) if Path(place).is_dir() else _of_hub(place)
    if INDEX not in files.sizes:
        raise CheckpointError(f"{place} holds no {INDEX}, so it is no checkpoint in diffusers layout.")
    if code := sorted(name for name in files.sizes if name.endswith((".py", ".pyc", ".so"))):
        raise CheckpointError(f"{place} brings code of its own, {code[0]}: Longtake runs none of a checkpoint.")
    index = _json(files, INDEX, place)
    parts = {name: entry for name, entry in index.items() if isinstance(entry, list) and None not in entry}
    _check_classes(place, index, parts)
    configs = {name: _config(files, name, place) for name in parts}
    weights = {name: _weights(files, name, place) for name in parts}
    return Stranger(
        place=files.place,
        facts=Facts(index, configs),
        licence=_licence(files),
        weights_bytes={name: size for name, size in weights.items() if size},
    )


def _check_classes(place: str, index: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """Raises `CheckpointError` where a class is not of a library that is installed here."""
    named = {"the pipeline": index.get("_class_name"), **parts}
    for name, entry in named.items():
        library = "diffusers" if isinstance(entry, str) else (entry or [None])[0]
        if library not in LIBRARIES or (name == "the pipeline" and not isinstance(entry, str)):
            said = f"{place} wants {name} from '{library}': only classes of diffusers and transformers are loaded."
            raise CheckpointError(said)


def _config(files: _Files, component: str, place: str) -> dict[str, Any]:
    """All that a component is configured by. Raises `CheckpointError` where that names code of the checkpoint."""
    found: dict[str, Any] = {}
    for name in (f"{component}/{file}" for file in CONFIGS):
        if name in files.sizes:
            found |= _json(files, name, place)
    if "auto_map" in found:
        said = f"{place} names code of its own in the configuration of its {component}: Longtake runs none."
        raise CheckpointError(said)
    return found


def _weights(files: _Files, component: str, place: str) -> int:
    """Bytes of a component's safetensors. Raises `CheckpointError` where it has pickles instead."""
    own = {name: size for name, size in files.sizes.items() if name.startswith(f"{component}/")}
    safe = {name: size for name, size in own.items() if name.endswith(".safetensors") and ".fp16." not in name}
    pickled = [name for name in own if PurePosixPath(name).suffix in PICKLES]
    if pickled and not safe:
        said = f"{place} has its {component} as a pickle only, {pickled[0]}, which could run anything."
        raise CheckpointError(f"{said} Ask for safetensors, or convert it where that does no harm.")
    return sum(safe.values())


def _licence(files: _Files) -> str:
    """From the head of the card: `license: apache-2.0`."""
    if "README.md" not in files.sizes:
        return ""
    head, *_ = files.read("README.md").removeprefix("---").split("\n---", 1)
    named = dict(line.split(":", 1) for line in head.splitlines() if line.startswith(("license:", "license_name:")))
    return (named.get("license_name") or named.get("license") or "").strip().strip("\"'")


def _json(files: _Files, name: str, place: str) -> dict[str, Any]:
    try:
        said = json.loads(files.read(name))
    except ValueError as error:
        raise CheckpointError(f"{name} of {place} is not JSON: {error}.") from error
    if not isinstance(said, dict):
        raise CheckpointError(f"{name} of {place} is not an object.")
    return said


def _of_folder(folder: Path) -> _Files:
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    return _Files(str(folder.absolute()), sizes, lambda name: (folder / name).read_text(errors="replace"))


def _of_hub(place: str) -> _Files:
    """Of the revision that is named, else of the newest one: what is uploaded later was not looked at."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name, _, revision = place.partition("@")
    if name.count("/") != 1:
        raise CheckpointError(f"There is no folder '{name}', and a Hub id is OWNER/NAME.")
    try:
        about = HfApi().model_info(name, revision=revision or None, files_metadata=True)
    except HFValidationError as error:
        raise CheckpointError(f"{name} is neither a folder nor a Hub id: {error}") from error
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"The Hub does not tell of {name}: {error}") from error

    def read(file: str) -> str:
        return Path(hf_hub_download(name, file, revision=about.sha)).read_text(errors="replace")

    return _Files(f"{name}@{about.sha}", {file.rfilename: file.size or 0 for file in about.siblings or ()}, read)
