"""A video's way through the whole house, from a request to frames."""

from __future__ import annotations

import time

import pytest

from tests.support.house import House, until
from tests.support.processes import Process

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]


def test_a_video_is_playable_has_every_frame_and_a_picture(house: House) -> None:
    done = house.finished(house.submit(num_frames=33, metadata={"for": "test"}))
    assert len(done.frame_hashes) == 33
    assert (done.video["size"], done.video["progress"], done.video["seconds"]) == ("128x128", 100, "4.125")
    assert len(house.frames(done.video["id"], "preview")) == 33
    assert house.content(done.video["id"], "thumbnail")[:2] == b"\xff\xd8"


def test_the_same_seed_makes_the_same_video_and_another_seed_another(house: House) -> None:
    first, again, other = (house.submit(seed=seed) for seed in (11, 11, 12))
    frames = house.finished(first).frame_hashes
    assert house.finished(again).frame_hashes == frames
    assert not set(house.finished(other).frame_hashes) & set(frames)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 3},
        {"guidance_scale": 6.0},
        {"turbo": {"guide_to": 0.5, "deep_every": 2}},
        {"negative_prompt": "a blue star moving left on a navy background"},
        {"prompt": "a green square moving up on a grey background"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_request_says_takes_effect(house: House, change: dict[str, object]) -> None:
    one_chunk = {"num_frames": 16, "refine": False, "seed": 5}
    plain = house.finished(house.submit(**one_chunk))
    changed = house.finished(house.submit(**one_chunk, **change))
    assert changed.frame_hashes != plain.frame_hashes


def test_a_cancelled_video_stops_within_a_step_and_its_beginning_can_be_seen(house: House) -> None:
    endless = house.submit(num_frames=400, steps=60, refine=False)
    until(lambda: house.video(endless)["frames"] >= 16, "the first chunk")
    began = time.monotonic()
    house.http.post(f"/v1/videos/{endless}/cancel").raise_for_status()
    stopped = house.ended(endless)
    assert stopped["status"] == "cancelled"
    assert time.monotonic() - began < 3.0
    assert len(house.frames(endless)) == stopped["frames"] < 400


def test_a_stopped_worker_gives_its_unit_back_at_once(house: House, resting: Process) -> None:
    second = house.worker("second")
    video = house.submit(num_frames=24, steps=80, refine=False)
    until(lambda: house.video(video)["status"] == "in_progress", "the start")
    lost = house.figure("api", "longtake_leases_expired_total")
    assert second.stop() == 0
    assert house.figure("api", "longtake_units_running") == 0
    assert house.figure("api", "longtake_leases_expired_total") == lost
    resting.resume()
    assert len(house.finished(video).frame_hashes) == 24


def test_a_short_video_does_not_wait_for_the_long_one_before_it(house: House) -> None:
    long = house.submit(num_frames=160, refine=False)
    short = house.submit(num_frames=16, refine=False)
    house.finished(short)
    assert house.video(long)["status"] == "in_progress"
    house.http.post(f"/v1/videos/{long}/cancel").raise_for_status()
