"""A worker killed at any moment costs one unit at most, and changes no frame."""

from __future__ import annotations

import pytest

from tests.support.house import Finished, House, Process

pytestmark = pytest.mark.processes

#: The units of the video: one initialize, two stream, three refine, one finish. Put is called for init (first of a
#: track), segment and state of a unit, and for the files of the last one.
KILL_POINTS = [
    "claim_next:after:1",  # it has the first unit, and has begun nothing
    "renew:after:1",  # in the middle of the tensors
    "put:after:4",  # a segment is stored, its state is not
    "commit:before:2",  # everything is stored, nobody knows
    "commit:after:3",  # everybody knows, it does not
    "get:before:1",  # in the finishing
    "put:before:15",  # the joined video is not stored
]


@pytest.fixture(scope="module")
def undisturbed(house: House, worker: Process) -> Finished:
    return house.finished(house.submit())


@pytest.mark.parametrize("moment", KILL_POINTS)
def test_a_killed_worker_changes_no_frame(house: House, resting: Process, undisturbed: Finished, moment: str) -> None:
    doomed = house.worker(f"doomed-{KILL_POINTS.index(moment)}", kill_at=moment)
    video = house.submit()
    assert doomed.popen.wait(60) == -9
    assert house.video(video)["status"] == "in_progress"
    resting.resume()
    assert house.finished(video).frame_hashes == undisturbed.frame_hashes


def test_a_killed_worker_loses_no_committed_unit(house: House, worker: Process, undisturbed: Finished) -> None:
    before = units_counted(house.metrics("render"))
    worker.pause()
    doomed = house.worker("doomed-last", kill_at="commit:after:5")
    video = house.submit()
    doomed.popen.wait(60)
    assert house.video(video)["progress"] == 100 * 5 // 7
    worker.resume()
    assert house.finished(video).frame_hashes == undisturbed.frame_hashes
    assert units_counted(house.metrics("render")) - before == 2


def units_counted(metrics: str) -> int:
    lines = [line for line in metrics.splitlines() if line.startswith("longtake_unit_duration_seconds_count")]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)
