"""A video is watched while it is made: real players' requests, a real server, and every frame once."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import httpx
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.support.house import House, until
from tests.support.processes import Process

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]


class Player:
    """ffmpeg on a URL, with nothing but the URL."""

    def __init__(self, url: str):
        watching = [get_ffmpeg_exe(), "-v", "error", "-live_start_index", "0", "-i", url, "-f", "framemd5", "-"]
        self.popen = subprocess.Popen(watching, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def frame_hashes(self, seconds: float = 120.0) -> list[str]:
        """A digest of each frame that it has shown, when it has come to the end by itself."""
        out, said = self.popen.communicate(timeout=seconds)
        assert self.popen.returncode == 0, said
        return [line.rsplit(",", 1)[1].strip() for line in out.splitlines() if not line.startswith("#")]


def url_of(house: House, video: str, name: str = "stream") -> str:
    return str(house.video(video)["stream_url"]).replace("/stream.m3u8", f"/{name}.m3u8")


def read(url: str) -> str:
    return httpx.get(url, trust_env=False).raise_for_status().text


def test_every_frame_is_seen_once_in_order_while_the_video_is_made_and_after(house: House, resting: Process) -> None:
    video = house.submit(num_frames=96, steps=12, refine=False)
    live = Player(url_of(house, video))  # before there is anything to see
    time.sleep(1.0)
    resting.resume()
    until(lambda: house.video(video)["frames"] >= 16, "the first chunk")
    assert "ENDLIST" not in read(url_of(house, video)), "it must still be growing"
    shown = live.frame_hashes()
    final = house.finished(video).frame_hashes
    assert len(final) == 96
    assert shown == final
    assert Player(url_of(house, video)).frame_hashes() == final


def test_a_refined_video_can_be_watched_in_both_renditions(house: House) -> None:
    video = house.submit(num_frames=61)
    until(lambda: house.video(video)["frames"] >= 16, "the first chunk")
    preview, refined = (Player(url_of(house, video, track)) for track in ("preview", "refined"))
    assert preview.frame_hashes() == (house.ended(video), house.frames(video, "preview"))[1]
    final = house.finished(video).frame_hashes
    refined.popen.kill()  # it may have been there before the first window: ffmpeg does not wait for one
    refined.popen.communicate()
    assert Player(url_of(house, video, "refined")).frame_hashes() == final
    assert Player(url_of(house, video)).frame_hashes() == final, "of a master ffmpeg takes the largest"


def test_every_chunk_has_the_same_init(house: House) -> None:
    video = house.submit(num_frames=61)
    house.finished(video)
    for track in ("preview", "refined"):
        text = read(url_of(house, video, track))
        assert text.count("#EXT-X-MAP") == 1 and "DISCONTINUITY" not in text


def test_steps_and_chunks_are_told_as_they_are_made(house: House) -> None:
    video = house.submit(num_frames=32, steps=40)
    told: list[dict[str, Any]] = []
    with house.http.stream("GET", f"/v1/videos/{video}/events", timeout=120) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
    assert told[0]["type"] == "video.in_progress" and told[-1]["type"] == "video.completed"
    percents = [event["progress"] for event in told if event["type"] == "video.progress"]
    assert percents == sorted(percents) and len(set(percents)) >= 3 and max(percents) < 100
    chunks = [event["chunk"] for event in told if event["type"] == "video.chunk.completed"]
    assert [chunk["first_frame"] for chunk in chunks if chunk["track"] == "preview"] == [0, 16, 24]
    assert sum(chunk["num_frames"] for chunk in chunks if chunk["track"] == "refined") == 32
    for chunk in chunks:
        answer = httpx.get(f"{house.http.base_url}{chunk['segment_url']}", trust_env=False)
        assert answer.status_code == 200 and chunk["seconds"] > 0


def test_a_cancelled_videos_stream_ends_and_plays(house: House) -> None:
    video = house.submit(num_frames=400, steps=60, refine=False)
    live = Player(url_of(house, video))
    until(lambda: house.video(video)["frames"] >= 24, "two chunks")
    house.http.post(f"/v1/videos/{video}/cancel").raise_for_status()
    stopped: dict[str, Any] = house.ended(video)
    shown = live.frame_hashes()
    assert stopped["status"] == "cancelled" and len(shown) == stopped["frames"] < 400
    assert shown == house.frames(video)
