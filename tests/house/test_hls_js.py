"""The playlists judged by hls.js in a browser: what it buffers is the whole video, without a gap or a complaint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import service
from tests.support.house import House, until
from tests.support.processes import Process

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]
VENDORED = next((Path(service.__file__).parent / "studio/vendor/hls.js").glob("hls-*.mjs")).name

#: Opens a playlist at one level, and keeps what is said of it on the page.
WATCH = """async ([module, url, level]) => {
  const { default: Hls } = await import(module);
  const player = document.body.appendChild(Object.assign(document.createElement("video"), { muted: true }));
  const hls = new Hls({ enableWorker: false, startLevel: level, maxBufferLength: 600, startPosition: 0 });
  const said = (window.said = { player, levels: 0, live: null, pieces: [], complaints: [], isWhole: false });
  hls.on(Hls.Events.MANIFEST_PARSED, (_, { levels }) => (said.levels = levels.length));
  hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => (said.live ??= details.live));
  hls.on(Hls.Events.FRAG_BUFFERED, (_, { frag }) => said.pieces.push([frag.level, frag.sn]));
  hls.on(Hls.Events.ERROR, (_, { details }) => said.complaints.push(details));
  hls.on(Hls.Events.BUFFERED_TO_END, () => (said.isWhole = true));
  hls.loadSource(url);
  hls.attachMedia(player);
}"""
TELL = """(({ player, ...said }) => ({
  ...said,
  ranges: [...Array(player.buffered.length).keys()].map((i) => [player.buffered.start(i), player.buffered.end(i)]),
  duration: player.duration,
  size: [player.videoWidth, player.videoHeight],
  decoded: [player.webkitVideoDecodedByteCount, player.webkitAudioDecodedByteCount],
}))(window.said)"""


def watched(browser: Browser, house: House, url: str, level: int = 0) -> dict[str, Any]:
    page = browser.new_page()
    try:
        page.goto(f"{house.http.base_url}/")
        module = f"/studio/vendor/hls.js/{VENDORED}"
        page.evaluate(WATCH, [module, url, level])
        until(lambda: page.evaluate("said.isWhole"), "the whole video")
        page.evaluate("said.player.play()")
        until(lambda: page.evaluate("said.player.currentTime > 0.3"), "some of it played")
        said: dict[str, Any] = page.evaluate(TELL)
        return said
    finally:
        page.close()


def judge(said: dict[str, Any], frames: int, level: int, side: int) -> None:
    assert said["complaints"] == []
    assert said["ranges"] == [[0, pytest.approx(frames / 8, abs=1e-3)]], "one piece, from the first frame to the last"
    assert said["duration"] == pytest.approx(frames / 8, abs=1e-3)
    assert said["size"] == [side, side]
    numbers = [number for at, number in said["pieces"] if at == level]
    assert numbers == list(range(len(numbers)))


def test_it_plays_a_video_from_the_first_chunk_while_it_is_made(
    house: House, browser: Browser, resting: Process
) -> None:
    video = house.submit(num_frames=64, steps=12, refine=False)
    resting.resume()
    until(lambda: house.video(video)["frames"] >= 16, "the first chunk")
    said = watched(browser, house, str(house.video(video)["stream_url"]))
    assert said["live"] is True, "it must still be growing when it is opened"
    judge(said, 64, 0, 64)


def test_it_plays_either_rendition_of_a_refined_video(house: House, browser: Browser) -> None:
    video = house.ended(house.submit(num_frames=61))
    for level, side in ((0, 64), (1, 128)):
        said = watched(browser, house, video["stream_url"], level)
        assert (said["levels"], said["live"]) == (2, False)
        judge(said, 61, level, side)
