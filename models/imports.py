"""Large libraries, imported a quarter sooner: none of what they make is garbage, and nobody looks for any in it.

Standard library only. Owns how, and not what is imported.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def that_stay() -> Iterator[None]:
    """Imports in it do not stop for garbage, and what is there afterwards is never searched, not at the end either."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
