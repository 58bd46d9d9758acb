"""Hostile clips: no user brings a video in, and a file of that name that leads elsewhere is not followed.

Only `longtake evaluate` and training read videos that are not ours, as whoever runs them names them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.store import Store
from tests.service.api.conftest import PROMPT, order, problem
from tests.service.conftest import complete
from tests.support.receiver import Receiver
from workers import media

READERS: dict[str, Callable[[Path], object]] = {
    "frames": lambda path: list(media.frames(path)),
    "clip": lambda path: media.clip(path, at_seconds=0, fps=8, size=16, count=3).shape[0] or 1 / 0,
    "duration": media.duration_s,
}


@pytest.fixture(scope="module")
def clip() -> bytes:
    """A real one, of eight frames."""
    made = media.encode(np.zeros((8, 64, 64, 3), np.uint8), fps=8, first_frame=0)
    return made.init + made.segment


def lists(other: str) -> dict[str, str]:
    """What ffmpeg would open other files for, whatever the file is called."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    mpd = 'xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static"'
    adaptation = '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL>'
    dash = f"<?xml version='1.0'?><MPD {mpd} mediaPresentationDuration='PT1S'><Period>{adaptation}"
    return {
        "hls": hls.format(other),
        "hls of a file": hls.format(f"file:{other}"),
        "hls joined": hls.format(f"concat:{other}"),
        "hls in a cipher": hls.format(f"crypto:{other}"),
        "concat": f"ffconcat version 1.0\nfile {other}\n",
        "dash": dash.format(other) + "</Representation></AdaptationSet></Period></MPD>",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {other[-4:]} RTP/AVP 96\n",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{other}"/></svg>',
        "text": other,
    }


def test_a_list_named_as_a_clip_is_refused_and_not_followed(tmp_path: Path, clip: bytes) -> None:
    (tmp_path / "real.mp4").write_bytes(clip)
    with Receiver() as canary:
        for name in lists(""):
            for other in ("real.mp4", str(tmp_path / "real.mp4"), canary.url):
                listed = tmp_path / "listed.mp4"
                listed.write_text(lists(other)[name])
                for reader in READERS.values():
                    with pytest.raises((media.MediaError, ZeroDivisionError)):
                        reader(listed)
                        pytest.fail(f"{name} of {other} was read")
        assert canary.received == []


@pytest.mark.parametrize("name", READERS)
def test_a_clip_is_read(tmp_path: Path, clip: bytes, name: str) -> None:
    (tmp_path / "real.mp4").write_bytes(clip)
    assert READERS[name](tmp_path / "real.mp4")


@pytest.mark.parametrize("cut", [0, 10, 100, 700, -100, -10])
def test_a_clip_that_is_cut_short_is_an_error_and_no_more(tmp_path: Path, clip: bytes, cut: int) -> None:
    (tmp_path / "cut.mp4").write_bytes(clip[:cut])
    with suppress(media.MediaError):
        assert len(list(media.frames(tmp_path / "cut.mp4"))) <= 8


def test_no_call_takes_a_clip(api: TestClient, store: Store, clip: bytes) -> None:
    parent = order(api)["id"]
    complete(store)
    form = {"prompt": (None, PROMPT), "input_reference": ("a.mp4", clip, "video/mp4")}
    problem(api.post("/v1/videos", files=form), 422, "image_unreadable", "input_reference")
    for path in ("edits", "extensions", f"{parent}/remix"):
        for field in ("video", "input_reference", "clip"):
            form = {"prompt": (None, "make it blue"), field: ("a.mp4", clip, "video/mp4")}
            answer = api.post(f"/v1/videos/{path}", files=form)
            assert answer.status_code == 422, (path, field, answer.text)
    assert len(api.get("/v1/videos").json()["data"]) == 1
