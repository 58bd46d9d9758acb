"""The floors of the house: an import only ever points down, and no process loads what it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("service.api.app", {"torch", "numpy", "diffusers", "transformers", "workers"}),
        ("service.store", {"torch", "numpy", "fastapi", "starlette", "celery", "boto3"}),
        ("workers.render", {"fastapi", "starlette", "uvicorn"}),
        ("longtake.command", {"torch", "fastapi", "celery"}),
    ],
)
def test_a_process_loads_nothing_of_the_floors_above(module: str, heavy: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not heavy & set(loaded)
