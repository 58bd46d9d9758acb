"""What a long video costs a family does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.families import made
from models import families
from tests.support import tiny


@pytest.fixture(autouse=True)
def own_families() -> Iterator[None]:
    yield
    families.look_in(None)


@pytest.mark.parametrize("name", tiny.families())
def test_neither_the_state_nor_the_process_grows_with_the_video(name: str, tmp_path: Path) -> None:
    """20 chunks in this process; `python -m bench.families` makes 50, each family in a process of its own."""
    row = made(name, 20, tmp_path)
    first, last = row.state_bytes
    assert first == last
    early, late = row.memory_mb
    assert late - early < 2, f"{row.memory_mb} MB"
