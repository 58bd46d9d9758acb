"""What a process must not load: the floors that import-linter cannot see, because they are about a whole import."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("workers.render", "celery"),
        ("workers.renderer", "torch"),  # the parent of a render worker stays small
        ("workers.courier", "torch"),
        ("longtake.serve", "torch"),
        ("longtake.generate", "torch"),
        ("longtake.submit", "torch"),
    ],
)
def test_a_module_loads_no_more_than_it_needs(module: str, unwanted: str) -> None:
    look = f"import sys, {module}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
