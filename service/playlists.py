"""Playlists of a video while it is made and after: HTTP Live Streaming, RFC 8216, with fragmented MP4.

An EVENT playlist: segments are only ever appended, and a player may begin at the first. It says so
(EXT-X-START), because players of a live stream begin at its end. Names of segments are made of track and frame;
what they are called in storage stands nowhere. Pure text; knows nothing of HTTP, Redis or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from models.model import CatalogError
from models.units import Stage
from service.jobs import Job, Segment

MEDIA_TYPE = "application/vnd.apple.mpegurl"
HEADROOM = 1.5  # later segments may be larger than those seen so far
_UNSEEN_BITS_PER_PIXEL = 0.5

Link = Callable[[str], str]  # a name, relative to the video, as a URI that opens it


def master(job: Job, tracks: Mapping[str, Sequence[Segment]], link: Link) -> str:
    """The renditions of a video that has several: the preview first, which is ahead and so where players begin.

    Where to begin stands in each rendition: of a master that says it too, ffmpeg thinks that it is none.
    """
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for track in job.generation.tracks:
        segments = tracks.get(track, ())
        if segments or not job.state.is_terminal:
            lines += [_variant(job, track, segments), link(f"{track}.m3u8")]
    return "\n".join(lines) + "\n"


def media(job: Job, segments: Sequence[Segment], link: Link) -> str:
    """One rendition. It ends when its last frame is there, or with the job."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f"#EXT-X-TARGETDURATION:{target_duration_s(job, segments)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-START:TIME-OFFSET=0",
    ]
    before = ""
    for segment in segments:
        name = f"segments/{segment.track}/{segment.first_frame}"
        if (init := segment.init_sha256 or segment.init_key) != before:
            lines += ["#EXT-X-DISCONTINUITY"] if before else []
            lines.append(f'#EXT-X-MAP:URI="{link(f"{name}.mp4")}"')
            before = init
        lines += [f"#EXTINF:{segment.duration_s:.5f},", link(f"{name}.m4s")]
    frames = sum(segment.num_frames for segment in segments)
    if job.state.is_terminal or frames == _frames(job, segments):
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def target_duration_s(job: Job, segments: Sequence[Segment]) -> int:
    """At least as long as any segment of any rendition will be, and the same from the first answer to the last."""
    made = job.generation
    try:
        lengths_s = [
            unit.num_frames / made.fps_of(unit.stage) for unit in made.plan() if unit.stage is not Stage.FINISH
        ]
    except CatalogError:  # the model is no longer offered: nothing will be appended
        lengths_s = [segment.duration_s for segment in segments]
    return math.ceil(max(lengths_s, default=1 / made.fps))


def _frames(job: Job, segments: Sequence[Segment]) -> int:
    """Of the whole of the track that these are of."""
    smoother = bool(segments) and _is_smoother(job, segments[0].track)
    return job.generation.made.frames if smoother else job.generation.num_frames


def _is_smoother(job: Job, track: str) -> bool:
    """Whether a track has the frames that interpolation adds."""
    return track in (Stage.INTERPOLATE.track, Stage.UPSCALE.track) and job.generation.interpolate > 1


def _variant(job: Job, track: str, segments: Sequence[Segment]) -> str:
    made, (width, height) = job.generation, _size(job, track)
    fps = made.made.fps if _is_smoother(job, track) else made.fps
    rates = [8 * segment.bytes / segment.duration_s for segment in segments]
    peak = HEADROOM * max(rates) if rates else _UNSEEN_BITS_PER_PIXEL * width * height * fps
    said = [f"BANDWIDTH={math.ceil(peak)}", f"RESOLUTION={width}x{height}", f"FRAME-RATE={fps:.3f}"]
    if segments and segments[0].codecs:
        said.append(f'CODECS="{segments[0].codecs}"')
    return f"#EXT-X-STREAM-INF:{','.join(said)}"


def _size(job: Job, track: str) -> tuple[int, int]:
    """Pixels of a track; a model that is no longer offered says nothing of its preview but that it is no larger."""
    made = job.generation
    try:
        size = str(made.recipe().size) if track == Stage.STREAM.track else made.size
    except CatalogError:
        size = made.size
    width, height = (int(side) for side in (made.made.size if track == Stage.UPSCALE.track else size).split("x"))
    return width, height
