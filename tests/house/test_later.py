"""Smoother and larger over HTTP, by real workers: nothing of a video is lost, whoever makes its units and whenever."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.house import Finished, House
from tests.support.processes import Process
from workers import media

pytestmark = pytest.mark.processes
LATER: dict[str, Any] = {"num_frames": 24, "refine": False, "interpolate": 3, "upscale": 2}
OTHER = "a blue star moving up on a navy background"


@pytest.fixture(scope="module")
def undisturbed(house: House, worker: Process) -> Finished:
    return house.finished(house.submit(**LATER))


def test_a_smoother_larger_video_says_what_it_is_and_can_be_watched_in_every_form(
    house: House, undisturbed: Finished
) -> None:
    video = undisturbed.video
    assert (video["size"], video["fps"], video["seconds"]) == ("64x64", 8, "3")
    assert video["output"] == {"size": "128x128", "fps": 24, "frames": 70}
    assert len(undisturbed.frame_hashes) == 70 and video["frames"] == 24
    assert all(frame.shape == (128, 128, 3) for frame in media.frames(house.folder / f"{video['id']}.mp4"))
    assert len(house.frames(video["id"], "preview")) == 24

    master = house.http.get(f"/v1/videos/{video['id']}/stream.m3u8").text
    assert [line.split(".m3u8")[0] for line in master.splitlines() if ".m3u8" in line] == [
        *("preview", "interpolated", "upscaled")
    ]
    assert master.count("RESOLUTION=64x64") == 2 and master.count("RESOLUTION=128x128") == 1
    assert master.count("FRAME-RATE=8.000") == 1 and master.count("FRAME-RATE=24.000") == 2
    for track in ("interpolated", "upscaled"):
        playlist = house.http.get(f"/v1/videos/{video['id']}/{track}.m3u8").text
        lengths = [float(line[8:-1]) for line in playlist.splitlines() if line.startswith("#EXTINF:")]
        assert sum(lengths) == pytest.approx(70 / 24, abs=1e-3) and playlist.rstrip().endswith("#EXT-X-ENDLIST")


@pytest.mark.parametrize(
    "moment",
    [
        "commit:before:3",  # the first piece is interpolated and stored, nobody knows
        "put:after:7",  # its segment is stored, its state is not
        "commit:before:4",  # the first piece is enlarged and stored, nobody knows
    ],
)
def test_a_worker_killed_at_a_later_stage_changes_no_frame(
    house: House, resting: Process, undisturbed: Finished, moment: str
) -> None:
    doomed = house.worker(f"later-{moment.replace(':', '-')}", kill_at=moment)
    video = house.submit(**LATER)
    assert doomed.wait(60) == -9
    resting.resume()
    assert house.finished(video).frame_hashes == undisturbed.frame_hashes


def test_an_extension_makes_only_what_is_new_of_every_stage(house: House, undisturbed: Finished) -> None:
    parent = undisturbed.video["id"]
    more = {"video": {"id": parent}, "prompt": OTHER, "seconds": "1"}
    child = house.finished(house.http.post("/v1/videos/extensions", json=more).raise_for_status().json()["id"])
    longer = LATER | {"num_frames": 32, "prompts": [{"at_seconds": 3, "prompt": OTHER}]}
    whole = house.finished(house.submit(**longer))
    assert len(child.frame_hashes) == 94 and child.frame_hashes == whole.frame_hashes
    assert child.video["usage"]["gpu_seconds"] < whole.video["usage"]["gpu_seconds"]
