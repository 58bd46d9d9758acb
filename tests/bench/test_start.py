"""The parts of a start are told, and add up."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.long
def test_every_part_of_a_start_has_its_share() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "bench.start"], capture_output=True, text=True, check=True, timeout=120
    )
    rows = [line.split() for line in told.stdout.splitlines()]
    assert len(rows) == 4 and all(float(row[-4]) > 0 for row in rows)
    assert abs(sum(float(row[-2]) for row in rows) - 100) < 1
