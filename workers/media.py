"""Frames in, video out: segments that play alone, and the file they join to. The only caller of ffmpeg.

Every chunk is encoded by itself, on whichever worker made it, as one fragment of one fragmented MP4: the
init bytes are the same for every segment of a track, and a segment's decode time says where in the video it
belongs. So the segments of a track play in a row (HLS), and a video is finished by copying their streams: no
frame is encoded twice. The same frames give the same bytes: one encoder thread, constant quality, no clock.
Sound goes with its frames as FLAC, sample by sample what it was, so that segments join without a seam; the file that
they join to has it as AAC, which plays everywhere. Knows frames and files; nothing of jobs, stores or networks.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import ffmpeg
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

from models.sound import Sound, begins, span

TICKS_PER_FRAME = 512  # the track's time scale is fps * 512, so that every frame begins at a whole tick

SPRITES = 100  # pictures on a sheet, at most

# Without frag_discont the decode time of every segment would be 0; without empty_moov the init would differ.
_FRAGMENT = "+frag_keyframe+empty_moov+default_base_moof+cmaf+frag_discont"
_QUALITY = {"vcodec": "libx264", "preset": "medium", "crf": 18, "pix_fmt": "yuv420p"}
# One key frame a segment, no frame shown out of order (start_time stays 0), bytes that no core count changes.
_ONE_GROUP = {"g": 1 << 16, "sc_threshold": 0, "bf": 0, "threads": 1}
_AAC = {"acodec": "aac", "audio_bitrate": "192k"}
_COLOUR = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv"}
# What any tool shows of a file or segment of ours; who signs it, and more about it: workers.provenance.
MACHINE_MADE = "Made by a machine with Longtake; digital source type: trainedAlgorithmicMedia"
_SAID = {"metadata": f"comment={MACHINE_MADE}"}
# Of a file that may be anybody's only this file is opened: no playlist, and no list of other files, by whatever name.
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,yuv4mpegpipe"
_ALONE = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
_NO_CLOCK = {"fflags": "+bitexact", "flags": "+bitexact", "map_metadata": -1}


class MediaError(RuntimeError):
    """ffmpeg refused; the message is the last line that it said."""


class Encoded(NamedTuple):
    """One segment, and the init that every segment of its track shares."""

    init: bytes
    segment: bytes


def encode(frames: np.ndarray, *, fps: int, first_frame: int, sound: Sound | None = None) -> Encoded:
    """Encode frames [F, H, W, 3] (uint8, F >= 1) as the segment that begins at `first_frame` of its video.

    sound: exactly the samples of these frames (`models.sound.begins`). A track's segments all have it, or none.
    """
    count, height, width, _ = frames.shape
    if frames.dtype != np.uint8 or count < 1 or height % 2 or width % 2:
        raise ValueError(f"Cannot encode {frames.dtype} frames of shape {frames.shape}.")
    raw = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=fps)
    shown = raw.filter("scale", out_color_matrix="bt709", out_range="tv")
    how = {
        "format": "mp4",
        "movflags": _FRAGMENT,
        "video_track_timescale": fps * TICKS_PER_FRAME,
        "output_ts_offset": first_frame / fps,
        **_QUALITY,
        **_ONE_GROUP,
        **_COLOUR,
        **_NO_CLOCK,
        **_SAID,
    }
    pixels = np.ascontiguousarray(frames).tobytes()
    if sound is None:
        return _split(_run(shown.output("pipe:", **how), pixels))
    with tempfile.NamedTemporaryFile(suffix=".s16le") as samples:
        samples.write(_checked(sound, count, fps, first_frame).tobytes())
        samples.flush()
        heard = ffmpeg.input(samples.name, format="s16le", ar=sound.rate, ac=sound.samples.shape[1]).audio
        made = _split(_run(ffmpeg.output(shown, heard, "pipe:", **how, **_flac(fps, sound.rate)), pixels))
    return made._replace(segment=_beginning(made.segment, begins(first_frame, fps=fps, rate=sound.rate)))


def _checked(sound: Sound, num_frames: int, fps: int, first_frame: int) -> np.ndarray:
    """Its samples, little-endian. Raises ValueError where they are not those of the frames."""
    samples, due = sound.samples, span(first_frame, num_frames, fps=fps, rate=sound.rate)
    if samples.dtype != np.int16 or samples.ndim != 2 or len(samples) != due:
        raise ValueError(f"Cannot encode {samples.dtype} sound of shape {samples.shape}: {due} samples are due.")
    return samples.astype("<i2")


def _flac(fps: int, rate: int) -> dict[str, Any]:
    """In blocks that no segment is shorter than: the length of a block stands in the init, which all of them share."""
    return {"acodec": "flac", "sample_fmt": "s16", "frame_size": max(16, min(4096, rate // fps))}


def _beginning(segment: bytes, sample: int) -> bytes:
    """The segment with its sound, the second track, beginning at that sample; ffmpeg counts in microseconds."""
    written = bytearray(segment)
    at = segment.index(b"tfdt", segment.index(b"tfdt") + 4) + 4
    struct.pack_into(">Q" if segment[at] == 1 else ">I", written, at + 4, sample)
    return bytes(written)


def join(init: bytes, segments: Iterable[bytes], target: Path) -> None:
    """Write the segments of one track as one MP4 that starts at once (faststart), pictures by stream copy.

    Their sound, if they have any, is encoded as a whole, so that it has no seams.
    """
    with tempfile.NamedTemporaryFile(suffix=".mp4", dir=target.parent) as fragmented:
        fragmented.write(init)
        for segment in segments:
            fragmented.write(segment)
        fragmented.flush()
        how = {"vcodec": "copy", **_AAC} if has_sound(init) else {"c": "copy"}
        joined = ffmpeg.input(fragmented.name).output(
            str(target), format="mp4", movflags="+faststart", **how, **_NO_CLOCK, **_SAID
        )
        _run(joined.overwrite_output())


def thumbnail(video: Path, *, at_seconds: float) -> bytes:
    """The picture at that moment as JPEG."""
    shot = ffmpeg.input(str(video), ss=at_seconds).output(
        "pipe:", format="image2", vcodec="mjpeg", vframes=1, pix_fmt="yuvj420p", qscale=3, **_NO_CLOCK
    )
    picture = _run(shot)
    if not picture:
        raise MediaError(f"The video has no frame at {at_seconds:g} s.")
    return picture


def spritesheet(video: Path, *, num_frames: int) -> bytes:
    """At most 100 frames at even distances as one JPEG: ten in a row, row by row, each at most 160 pixels wide."""
    every = -(-num_frames // SPRITES)
    shown = -(-num_frames // every)
    columns = min(10, shown)
    sheet = (
        ffmpeg.input(str(video))
        .filter("select", f"not(mod(n,{every}))")
        .filter("scale", "min(160,iw)", -2)
        .filter("tile", f"{columns}x{-(-shown // columns)}")
        .output("pipe:", format="image2", vcodec="mjpeg", vframes=1, pix_fmt="yuvj420p", qscale=4, **_NO_CLOCK)
    )
    picture = _run(sheet)
    if not picture:
        raise MediaError("The video has no frames for a sheet of them.")
    return picture


def frames(video: Path, *, longest_side: int | None = None) -> Generator[np.ndarray]:
    """The pictures of any video file in their order, one at a time: uint8 [H, W, 3], RGB, read-only.

    longest_side: shrink them on the way to at most so many pixels. Raises `MediaError` where there is none.
    """
    source = ffmpeg.input(f"file:{video}", **_ALONE)
    if longest_side:
        size = {"w": f"min({longest_side},iw)", "h": f"min({longest_side},ih)"}
        source = source.filter("scale", **size, force_original_aspect_ratio="decrease", flags="bilinear")
    shown = source.output("pipe:", format="image2pipe", vcodec="ppm", pix_fmt="rgb24", fps_mode="passthrough")
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(_quiet(shown).compile(get_ffmpeg_exe()), stdout=subprocess.PIPE, stderr=said)
        assert process.stdout is not None
        try:
            count = 0
            while (picture := _next_picture(process.stdout)) is not None:
                count += 1
                yield picture
            if process.wait() or not count:
                said.seek(0)
                raise MediaError(_last_line(said.read()))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def clip(video: Path, *, at_seconds: float, fps: float, size: int, count: int) -> np.ndarray:
    """Frames from that moment on, `fps` a second, the middle square of each: uint8 [F, size, size, 3], F <= count."""
    source = ffmpeg.input(f"file:{video}", ss=at_seconds, **_ALONE).filter("fps", fps=fps)
    scaled = source.filter("scale", size, size, force_original_aspect_ratio="increase", flags="bicubic")
    shown = scaled.filter("crop", size, size).output(
        "pipe:", format="rawvideo", pix_fmt="rgb24", vframes=count, **_NO_CLOCK
    )
    return np.frombuffer(_run(shown), np.uint8).reshape(-1, size, size, 3)


def duration_s(video: Path) -> float:
    """How long a video file is, by its header. Raises `MediaError` where ffmpeg reads no such thing."""
    alone = [word for name, value in _ALONE.items() for word in (f"-{name}", value)]
    asked = [get_ffmpeg_exe(), "-hide_banner", "-nostdin", *alone, "-i", f"file:{video}"]
    said = subprocess.run(asked, capture_output=True, check=False).stderr  # it ends with an error: no output was named
    found = re.search(rb"Duration: (\d+):(\d+):(\d+\.\d+).*\bVideo: ", said, re.DOTALL)
    if found is None:
        raise MediaError(_last_line(said))
    hours, minutes, seconds = (float(part) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def frame_hashes(video: Path) -> list[str]:
    """One digest a decoded frame, in their order: equal lists mean equal pictures, whatever the container."""
    table = _run(ffmpeg.input(str(video)).video.output("pipe:", format="framemd5", **_NO_CLOCK)).decode()
    return [line.rsplit(",", 1)[1].strip() for line in table.splitlines() if not line.startswith("#")]


def codecs(init: bytes) -> str:
    """What a player must be able to decode, as RFC 6381 writes it: profile and level of the init's avcC box, and FLAC
    where there is sound.
    """
    at = init.index(b"avcC") + 5
    return f"avc1.{init[at : at + 3].hex()}{',fLaC' if has_sound(init) else ''}"


def has_sound(init: bytes) -> bool:
    """Whether the segments of an init have sound: the name of its sample entry (the FLAC specification for ISO
    files).
    """
    return b"fLaC" in init


def decode_time(segment: bytes) -> int:
    """Where a segment begins, in ticks of its pictures (tfdt); ISO/IEC 14496-12, 8.8.12."""
    at = segment.index(b"tfdt") + 4
    wide = segment[at] == 1
    return int(struct.unpack_from(">Q" if wide else ">I", segment, at + 4)[0])


def _split(fragmented: bytes) -> Encoded:
    """Init (ftyp, moov) and segment (moof, mdat); the index of fragments behind them (mfra) is left out."""
    parts = {b"ftyp": b"", b"moov": b"", b"moof": b"", b"mdat": b""}
    for kind, box in _boxes(fragmented):
        if kind in parts:
            if parts[kind]:
                raise MediaError("ffmpeg made more than one fragment of one segment.")
            parts[kind] = box
    if not all(parts.values()):
        raise MediaError(f"ffmpeg made no {', '.join(k.decode() for k, box in parts.items() if not box)}.")
    return Encoded(parts[b"ftyp"] + parts[b"moov"], parts[b"moof"] + parts[b"mdat"])


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + size]
        at += size


def _next_picture(stream: IO[bytes]) -> np.ndarray | None:
    """One binary PPM, whose header says its size; None at the end, or where the rest is missing."""
    header = [stream.readline() for _ in range(3)]  # P6, width and height, 255
    if not header[2]:
        return None
    width, height = map(int, header[1].split())
    pixels = stream.read(height * width * 3)
    whole = len(pixels) == height * width * 3
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3) if whole else None


def _run(stream: Any, stdin: bytes | None = None) -> bytes:
    try:
        out, _ = _quiet(stream).run(cmd=get_ffmpeg_exe(), input=stdin, capture_stdout=True, capture_stderr=True)
    except ffmpeg.Error as error:
        raise MediaError(_last_line(error.stderr)) from None
    return bytes(out)


def _quiet(stream: Any) -> Any:
    return stream.global_args("-hide_banner", "-nostdin", "-loglevel", "error")


def _last_line(said: bytes) -> str:
    return (said.decode(errors="replace").strip().splitlines() or ["ffmpeg failed without a word"])[-1]
