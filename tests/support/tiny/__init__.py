"""Checkpoints of today's open models as their classes save them: the real classes, so small that a chunk takes little.

A module is one family's: `build(folder)` writes its checkpoint with random weights, the same every time; OPTIONS and
SIZE are what it is asked with.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def families() -> dict[str, ModuleType]:
    """Every module here that builds a checkpoint, by its name with hyphens."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {
        module.__name__.rpartition(".")[2].replace("_", "-"): module for module in modules if hasattr(module, "build")
    }
