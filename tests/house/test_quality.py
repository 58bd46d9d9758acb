"""A finished video says how good it is, through the API."""

from __future__ import annotations

import pytest

from tests.support.house import House

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]


@pytest.mark.parametrize("refine", [False, {"steps": 2}])
def test_a_finished_video_carries_its_figures_and_one_in_the_making_none(house: House, refine: object) -> None:
    made = house.submit(num_frames=32, refine=refine)
    assert house.video(made)["quality"] is None
    quality = house.finished(made).video["quality"]
    assert set(quality) == {"scene_cuts", "seam_ratio", "flicker", "drift"}
    assert quality["scene_cuts"] >= 0 and quality["seam_ratio"] > 0
    assert 0 <= quality["flicker"] <= 1 and 0 <= quality["drift"] <= 1
