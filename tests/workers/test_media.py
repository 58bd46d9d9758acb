"""What `workers.media` promises of segments and of the file they join to. Real ffmpeg."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from models.sound import Sound, begins, span
from tests.support.listening import heard_of
from workers import media

FPS = 8
RATE = 24000  # samples a second
LENGTHS = (16, 8, 8, 1, 24, 3)  # a one-frame segment among them


def test_a_clip_begins_where_it_is_asked_to_and_runs_at_its_own_pace(joined: Path) -> None:
    whole = np.stack(list(media.frames(joined)))
    assert media.duration_s(joined) == pytest.approx(len(whole) / FPS, abs=0.01)
    half_pace = media.clip(joined, at_seconds=1.0, fps=FPS / 2, size=64, count=5)
    assert half_pace.shape == (5, 64, 64, 3)
    assert np.abs(half_pace.astype(int) - whole[8:18:2]).mean() < 1
    assert len(media.clip(joined, at_seconds=(len(whole) - 3) / FPS, fps=FPS, size=64, count=5)) == 3


def test_a_file_without_video_has_no_duration(tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("no video")
    with pytest.raises(media.MediaError):
        media.duration_s(tmp_path / "words.mp4")


def moving_picture(num_frames: int, side: int = 64) -> np.ndarray:
    """A square on a gradient, moving a pixel a frame; [F, H, W, 3]."""
    frames = np.zeros((num_frames, side, side, 3), np.uint8)
    frames[..., 2] = np.linspace(0, 200, side, dtype=np.uint8)
    for i, frame in enumerate(frames):
        frame[20:36, i % 48 : i % 48 + 16] = (250, 40, 40)
    return frames


@pytest.fixture(scope="module")
def track() -> list[media.Encoded]:
    frames, segments, first = moving_picture(sum(LENGTHS)), [], 0
    for length in LENGTHS:
        segments.append(media.encode(frames[first : first + length], fps=FPS, first_frame=first))
        first += length
    return segments


@pytest.fixture(scope="module")
def joined(track: list[media.Encoded], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("joined") / "video.mp4"
    media.join(track[0].init, (made.segment for made in track), target)
    return target


def test_every_segment_of_a_track_has_the_same_init(track: list[media.Encoded]) -> None:
    assert len({made.init for made in track}) == 1


def test_a_segment_begins_where_its_first_frame_belongs(track: list[media.Encoded]) -> None:
    starts = [sum(LENGTHS[:i]) for i in range(len(LENGTHS))]
    assert [media.decode_time(made.segment) for made in track] == [s * media.TICKS_PER_FRAME for s in starts]


@pytest.mark.parametrize("fps", [8, 24, 30])
def test_a_segment_hours_into_a_video_begins_at_its_exact_frame(fps: int) -> None:
    made = media.encode(moving_picture(2), fps=fps, first_frame=7 * 3600 * fps + 1)
    assert media.decode_time(made.segment) == (7 * 3600 * fps + 1) * media.TICKS_PER_FRAME


def test_joining_keeps_every_frame_and_the_duration(joined: Path) -> None:
    assert len(media.frame_hashes(joined)) == sum(LENGTHS)
    assert described(joined)["Duration"] == f"00:00:{sum(LENGTHS) / FPS:05.2f}"


def test_the_joined_video_shows_the_frames_of_its_segments(
    joined: Path, track: list[media.Encoded], tmp_path: Path
) -> None:
    alone = []
    for i, made in enumerate(track):
        (tmp_path / f"{i}.mp4").write_bytes(made.init + made.segment)
        alone += media.frame_hashes(tmp_path / f"{i}.mp4")
    assert media.frame_hashes(joined) == alone


def test_the_joined_video_is_h264_and_starts_before_it_is_loaded(joined: Path) -> None:
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt709.*64x64", described(joined)["all"])
    data = joined.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_same_frames_give_the_same_bytes(track: list[media.Encoded], joined: Path, tmp_path: Path) -> None:
    first = LENGTHS[0]
    again = media.encode(moving_picture(sum(LENGTHS))[:first], fps=FPS, first_frame=0)
    media.join(track[0].init, (made.segment for made in track), tmp_path / "again.mp4")
    assert again == track[0]
    assert (tmp_path / "again.mp4").read_bytes() == joined.read_bytes()


def test_colours_survive_the_encoding(tmp_path: Path) -> None:
    frames = moving_picture(8)
    made = media.encode(frames, fps=FPS, first_frame=0)
    (tmp_path / "a.mp4").write_bytes(made.init + made.segment)
    raw = subprocess.run(
        [
            get_ffmpeg_exe(),
            "-v",
            "error",
            "-i",
            tmp_path / "a.mp4",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        ],
        capture_output=True,
        check=True,
    ).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(frames.shape)
    assert np.abs(shown[0, 28, 8].astype(int) - (250, 40, 40)).max() <= 6


def test_a_spritesheet_shows_the_video_from_its_first_frame_on(joined: Path) -> None:
    hashes = media.frame_hashes(joined)
    sheet = Image.open(io.BytesIO(media.spritesheet(joined, num_frames=len(hashes))))
    first = next(iter(media.frames(joined)))
    side = first.shape[1]
    assert sheet.size == (side * min(10, len(hashes)), first.shape[0] * -(-len(hashes) // 10))
    shown = np.asarray(sheet)[: first.shape[0], :side].astype(int)
    assert np.abs(shown - first).mean() < 8


@pytest.mark.parametrize("num_frames", [1, 100, 101, 250])
def test_a_spritesheet_has_at_most_a_hundred_pictures(tmp_path: Path, num_frames: int) -> None:
    frames = np.zeros((num_frames, 16, 16, 3), np.uint8)
    made = media.encode(frames, fps=8, first_frame=0)
    media.join(made.init, [made.segment], tmp_path / "video.mp4")
    sheet = Image.open(io.BytesIO(media.spritesheet(tmp_path / "video.mp4", num_frames=num_frames)))
    assert sheet.width // 16 <= 10 and sheet.height // 16 <= 10


def test_a_thumbnail_is_a_jpeg_of_a_moment_of_the_video(joined: Path) -> None:
    picture = media.thumbnail(joined, at_seconds=2.0)
    assert picture[:2] == b"\xff\xd8"
    assert picture != media.thumbnail(joined, at_seconds=0.0)


def test_frames_of_a_wrong_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        media.encode(np.zeros((1, 64, 64, 3), np.float32), fps=FPS, first_frame=0)


def test_a_broken_file_is_a_media_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(media.MediaError) as failure:
        media.frame_hashes(tmp_path / "broken.mp4")
    assert "\n" not in str(failure.value)


def waves(rate: int, fps: int = FPS) -> np.ndarray:
    """Two voices in stereo, as long as all of `LENGTHS`; int16 [S, 2]."""
    at_s = np.arange(begins(sum(LENGTHS), fps=fps, rate=rate)) / rate
    left, right = np.sin(2 * np.pi * 440 * at_s), np.sin(2 * np.pi * 660 * at_s) * np.sin(3 * at_s)
    return (np.stack([left, right], axis=1) * 12000).round().astype(np.int16)


def with_sound(fps: int = FPS, rate: int = RATE) -> list[media.Encoded]:
    """The segments of `track`, heard."""
    frames, heard, first, made = moving_picture(sum(LENGTHS)), waves(rate, fps), 0, []
    for length in LENGTHS:
        at = begins(first, fps=fps, rate=rate)
        sound = Sound(heard[at : at + span(first, length, fps=fps, rate=rate)], rate)
        made.append(media.encode(frames[first : first + length], fps=fps, first_frame=first, sound=sound))
        first += length
    return made


@pytest.fixture(scope="module")
def heard() -> list[media.Encoded]:
    return with_sound()


@pytest.fixture(scope="module")
def film(heard: list[media.Encoded], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("film") / "video.mp4"
    media.join(heard[0].init, (made.segment for made in heard), target)
    return target


@pytest.mark.parametrize(("fps", "rate"), [(FPS, RATE), (24, 24000), (25, 48000), (24, 44100), (7, 24000)])
def test_segments_in_a_row_sound_sample_by_sample_as_they_were_given(fps: int, rate: int, tmp_path: Path) -> None:
    made = with_sound(fps, rate)
    assert len({segment.init for segment in made}) == 1
    (tmp_path / "row.mp4").write_bytes(made[0].init + b"".join(segment.segment for segment in made))
    assert np.array_equal(heard_of(tmp_path / "row.mp4"), waves(rate, fps))


@pytest.mark.parametrize(("fps", "rate"), [(FPS, RATE), (24, 44100), (25, 44100)])
def test_sound_begins_with_the_first_frame_of_its_segment(fps: int, rate: int) -> None:
    """Also hours into a video, and where frames do not begin with whole samples."""
    for first in (0, 17, 7 * 3600 * fps + 1):
        sound = Sound(np.zeros((span(first, 2, fps=fps, rate=rate), 2), np.int16), rate)
        made = media.encode(moving_picture(2), fps=fps, first_frame=first, sound=sound)
        assert media.decode_time(made.segment) == first * media.TICKS_PER_FRAME
        of_sound = made.segment[made.segment.index(b"tfdt") + 4 :]
        assert media.decode_time(of_sound) == begins(first, fps=fps, rate=rate)


def test_sound_changes_no_picture(heard: list[media.Encoded], film: Path, joined: Path) -> None:
    assert media.frame_hashes(film) == media.frame_hashes(joined)
    assert [media.decode_time(made.segment) for made in heard] == [
        sum(LENGTHS[:i]) * media.TICKS_PER_FRAME for i in range(len(LENGTHS))
    ]
    assert media.thumbnail(film, at_seconds=2.0) == media.thumbnail(joined, at_seconds=2.0)
    sheets = [media.spritesheet(video, num_frames=sum(LENGTHS)) for video in (film, joined)]
    assert sheets[0] == sheets[1]
    assert all(map(np.array_equal, media.frames(film), media.frames(joined)))
    clips = [media.clip(video, at_seconds=1.0, fps=FPS, size=64, count=5) for video in (film, joined)]
    assert np.array_equal(*clips)
    assert media.duration_s(film) == pytest.approx(sum(LENGTHS) / FPS, abs=0.01)


def test_the_joined_file_sounds_everywhere_and_as_long_as_it_is_seen(film: Path) -> None:
    assert re.search(r"Video: h264 .*Audio: aac \(LC\).*24000 Hz, stereo", described(film)["all"], re.DOTALL)
    given, encoded = waves(RATE), heard_of(film)
    assert abs(len(encoded) - len(given)) <= 1024, "one frame of AAC"
    shown = encoded[: len(given)].astype(int)
    assert np.abs(shown - given[: len(shown)]).mean() < 200, "it neither begins late nor has a hole"
    data = film.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_same_sound_gives_the_same_bytes(heard: list[media.Encoded], film: Path, tmp_path: Path) -> None:
    assert with_sound() == heard
    media.join(heard[0].init, (made.segment for made in heard), tmp_path / "again.mp4")
    assert (tmp_path / "again.mp4").read_bytes() == film.read_bytes()


def test_a_playlist_of_segments_with_sound_is_played(heard: list[media.Encoded], tmp_path: Path) -> None:
    (tmp_path / "init.mp4").write_bytes(heard[0].init)
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:3", '#EXT-X-MAP:URI="init.mp4"']
    for i, (made, length) in enumerate(zip(heard, LENGTHS, strict=True)):
        (tmp_path / f"{i}.m4s").write_bytes(made.segment)
        lines += [f"#EXTINF:{length / FPS:.5f},", f"{i}.m4s"]
    (tmp_path / "video.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n")
    assert np.array_equal(heard_of(tmp_path / "video.m3u8"), waves(RATE))
    assert len(media.frame_hashes(tmp_path / "video.m3u8")) == sum(LENGTHS)


def test_a_player_is_told_that_there_is_sound(heard: list[media.Encoded], track: list[media.Encoded]) -> None:
    assert media.codecs(heard[0].init) == f"{media.codecs(track[0].init)},fLaC"
    assert "," not in media.codecs(track[0].init)


@pytest.mark.parametrize(
    "samples",
    [np.zeros((RATE, 2), np.float32), np.zeros(RATE, np.int16), np.zeros((RATE - 1, 2), np.int16)],
    ids=["float", "flat", "too short"],
)
def test_sound_that_is_not_that_of_the_frames_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="24000 samples are due"):
        media.encode(moving_picture(FPS), fps=FPS, first_frame=0, sound=Sound(samples, RATE))


def described(video: Path) -> dict[str, str]:
    """What ffmpeg says of a file."""
    said = subprocess.run([get_ffmpeg_exe(), "-hide_banner", "-i", video], capture_output=True, text=True).stderr
    duration = re.search(r"Duration: ([\d:.]+)", said)
    return {"all": said, "Duration": duration.group(1) if duration else ""}
