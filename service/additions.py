"""The models that whoever runs Longtake has added to the catalogue: a file that every process reads when it starts.

An entry says all that the API has to know of a model, so that only workers need its weights. Knows no family by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models import catalog, families
from models.model import CatalogError, Model
from service.settings import Settings

_MODEL = TypeAdapter(Model)
#: What may stand in an entry, with what is meant where it does not; the rest is of the papers' systems alone.
_WRITTEN = {field.name: field.default for field in fields(Model) if field.name not in ("read_prompt", "preset")}


def settle(settings: Settings) -> None:
    """Enter the added models into this process's catalogue.

    Raises `CatalogError` for a file that cannot be read so, and for a model whose family is not here.
    """
    families.look_in(settings.families_dir)
    models = read(settings.added_models)
    for model in models:
        families.of(model)
    catalog.enter(models)


def read(file: Path) -> list[Model]:
    """The models in a file; none where there is no file. Raises `CatalogError('unreadable_models')`."""
    if not file.is_file():
        return []
    try:
        return [_model(entry) for entry in json.loads(file.read_text())["models"]]
    except (ValueError, KeyError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else error
        said = f"{file} is not a file of models as `longtake models add` writes it: {why}."
        raise CatalogError("unreadable_models", "models_file", said) from None


def write(file: Path, models: Iterable[Model]) -> None:
    """Put a file in the place of the one there; whoever reads it meanwhile has the old or the new one, whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(json.dumps({"models": [_entry(model) for model in models]}, indent=2) + "\n")
    part.replace(file)


def _entry(model: Model) -> dict[str, Any]:
    told = asdict(model)
    return {name: told[name] for name, default in _WRITTEN.items() if getattr(model, name) != default}


def _model(entry: Any) -> Model:
    if not isinstance(entry, dict):
        raise ValueError(f"an entry is a {type(entry).__name__}, not an object")
    if strange := sorted(entry.keys() - _WRITTEN.keys()):
        raise ValueError(f"an entry has no '{strange[0]}'")
    return _MODEL.validate_python(entry)
