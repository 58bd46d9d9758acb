"""A house is upgraded while it makes videos: workers first, then delivery and API, as docs/reliability.md says.

What it is upgraded from is taken out of the project's own history.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import House, until
from tests.support.processes import ROOT

pytestmark = pytest.mark.processes

#: What is upgraded from: the last one whose records have version 1, and one that computes the same numbers as this.
OLDER, LAST = "317fcee^", "cba9a87^"
FRAMES = 40


@pytest.fixture(params=[OLDER, LAST], ids=["records of version 1", "the last"])
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def before(release: str, tmp_path: Path) -> Path:
    """The tree of that release."""
    tree = subprocess.run(["git", "archive", release], cwd=ROOT, capture_output=True)
    if tree.returncode:
        pytest.skip(f"the project's history is not here: {tree.stderr.decode().strip()}")
    folder = tmp_path / "before"
    folder.mkdir()
    subprocess.run(["tar", "x", "-C", str(folder)], input=tree.stdout, check=True)
    return folder


@pytest.fixture
def house(before: Path, tmp_path: Path) -> Iterator[House]:
    """All of it of that release."""
    made = House(tmp_path, None, PYTHONPATH=str(before))
    yield made
    made.close()


def test_a_video_is_begun_by_one_release_and_ended_by_the_next(house: House, release: str) -> None:
    old = house.worker("old")
    alone = house.finished(house.submit(num_frames=FRAMES))

    videos = [house.submit(num_frames=FRAMES)]
    until(lambda: house.video(videos[0])["frames"] > 0, "a unit by the old worker")
    videos.append(house.submit(num_frames=FRAMES))
    new = house.worker("new", PYTHONPATH=str(ROOT))  # both for a while
    assert old.stop() == 0
    house.courier.stop()
    house.api.stop()
    house.courier = house.run("deliver", "workers", "deliver", PYTHONPATH=str(ROOT))
    house.api = house.run("api", "service.api", PYTHONPATH=str(ROOT))
    until(house.answers, "the new API")

    videos.append(house.submit(num_frames=FRAMES))
    mixed = [house.finished(video).frame_hashes for video in videos]
    assert house.frames(alone.video["id"]) == alone.frame_hashes
    assert [len(frames) for frames in mixed] == [FRAMES] * 3
    assert new.is_running
    if release == LAST:
        assert mixed == [alone.frame_hashes] * 3
    else:  # there are other kernels since, so only what the old worker made is the same
        previews = [house.frames(video, "preview") for video in (videos[0], alone.video["id"])]
        assert previews[0][:16] == previews[1][:16] and len(previews[0]) == FRAMES
