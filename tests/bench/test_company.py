"""Several videos at once are the videos that they are alone. What it saves: docs/speed.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import company


@pytest.mark.long
def test_two_videos_at_once_are_asked_for_together(tmp_path: Path) -> None:
    company.main(["--videos", "2", "--steps", "3", "--rounds", "1", "--json", str(tmp_path / "company.json")])
    (row,) = json.loads((tmp_path / "company.json").read_text())["rows"]
    assert row["together"] > 1.3 and row["largest_difference"] <= 2
