"""Two workers have units of one video at once, through the whole service. How much that saves: docs/speed.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import scaling


@pytest.mark.long
@pytest.mark.processes
def test_two_workers_make_one_video_at_once(tmp_path: Path) -> None:
    file = tmp_path / "scaling.json"
    scaling.main(["--workers", "1", "2", "--frames", "96", "--json", str(file)])
    told = json.loads(file.read_text())
    alone, two = told["rows"]
    assert alone["units"] == two["units"] and alone["asleep_s"] == two["asleep_s"] < alone["seconds"]
    assert alone["in_units_s"] < alone["seconds"] and two["in_units_s"] > 1.05 * two["seconds"]
    assert told["units_of_no_time"]["between_ms"] < 100  # and far below 30 ms there
