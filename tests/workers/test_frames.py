"""What `media.frames` promises: every picture of any video file, one at a time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.workers.test_media import FPS, moving_picture
from workers import media


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("frames") / "a: strange, [name].mp4"
    made = media.encode(moving_picture(40), fps=FPS, first_frame=0)
    media.join(made.init, [made.segment], target)
    return target


def test_every_frame_comes_in_its_order_and_colours(video: Path) -> None:
    shown = np.stack(list(media.frames(video)))
    assert shown.shape == (40, 64, 64, 3)
    assert np.abs(shown.astype(int) - moving_picture(40)).mean() < 3


def test_large_pictures_are_shrunk_in_shape_and_small_ones_left(tmp_path: Path, video: Path) -> None:
    wide = np.repeat(np.repeat(moving_picture(2), 10, 1), 20, 2)  # 640x1280
    made = media.encode(wide, fps=FPS, first_frame=0)
    (tmp_path / "wide.mp4").write_bytes(made.init + made.segment)
    assert [frame.shape for frame in media.frames(tmp_path / "wide.mp4", longest_side=256)] == [(128, 256, 3)] * 2
    assert next(media.frames(video, longest_side=256)).shape == (64, 64, 3)


@pytest.mark.parametrize("arguments", [["-r", "30", "-f", "webm"], ["-vf", "select=not(mod(n\\,3))", "-f", "matroska"]])
def test_other_containers_codecs_and_uneven_times_lose_and_double_no_frame(
    tmp_path: Path, video: Path, arguments: list[str]
) -> None:
    command = [get_ffmpeg_exe(), "-v", "error", "-i", f"file:{video}", *arguments, tmp_path / "other"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    assert len(list(media.frames(tmp_path / "other"))) == len(media.frame_hashes(tmp_path / "other"))


def test_who_stops_early_leaves_no_process(video: Path) -> None:
    before = set(psutil.Process().children())
    shown = media.frames(video)
    next(shown)
    assert set(psutil.Process().children()) - before
    shown.close()
    assert not set(psutil.Process().children()) - before


@pytest.mark.parametrize("content", [b"", b"no video at all", bytes(4096)])
def test_what_is_no_video_is_a_media_error_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.mp4").write_bytes(content)
    with pytest.raises(media.MediaError) as failure:
        list(media.frames(tmp_path / "broken.mp4"))
    assert "\n" not in str(failure.value)


def test_a_video_that_breaks_off_shows_what_it_has(tmp_path: Path) -> None:
    parts = [media.encode(moving_picture(16)[i : i + 8], fps=FPS, first_frame=i) for i in (0, 8)]
    whole = parts[0].init + parts[0].segment + parts[1].segment
    (tmp_path / "half.mp4").write_bytes(whole[: -len(parts[1].segment) // 2])
    assert 8 <= len(list(media.frames(tmp_path / "half.mp4"))) < 16
