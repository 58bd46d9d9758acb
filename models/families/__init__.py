"""The families of models that Longtake streams besides the systems of the papers: a module here is one of them.

Owns finding them; docs/families.md shows how one is written. Standard library only, so that the API can read them.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from models.families.family import Family
from models.model import CatalogError, Model, listed

_OWN = tuple(__path__)


def known() -> dict[str, Family]:
    """Every family by its name: the modules of this package that have a `FAMILY`."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    families = (module.FAMILY for module in modules if hasattr(module, "FAMILY"))
    return {family.name: family for family in families}


def look_in(folder: Path | None) -> None:
    """Also look for families in this folder, which is not Longtake's; None: in no other."""
    __path__[:] = [*_OWN, *([] if folder is None else [str(folder)])]
    importlib.invalidate_caches()


def of(model: Model) -> Family:
    """The family of a model. Raises `CatalogError('unknown_family')` where it is not, or no longer, here."""
    families = known()
    if model.family not in families:
        said = f"{model.name} is of the family {model.family}; there is {listed(sorted(families))}."
        raise CatalogError("unknown_family", "model", said)
    return families[model.family]


def beside(model: Model) -> str:
    """The other checkpoint that a model's options name, which is loaded with its own; empty where none is."""
    return str(dict(model.options).get(of(model).beside, "")) if model.family else ""
