"""A job's public face: the video object of the API and of webhooks.

OpenAI's field names, and our own after them. Knows nothing of HTTP or Redis.
"""

from __future__ import annotations

from typing import Any, Literal

from models.turbo import Turbo
from service.estimates import Pace, eta_s
from service.jobs import Ancestry, Job, JobError, JobState, Made, PromptAt, Record
from service.speed import realtime_factor, time_to_first_segment_s


class Chunks(Record):
    """Chunks of frames that the streaming stages have made, and have to make."""

    done: int
    total: int


class Ancestor(Record):
    """The video that this one was made from, and where it leaves it; what comes before is shared."""

    kind: Literal["extension", "branch", "remix", "edit"]
    video: str
    at_seconds: float

    @classmethod
    def of(cls, ancestry: Ancestry, fps: int) -> Ancestor:
        return cls(kind=ancestry.kind, video=ancestry.video, at_seconds=ancestry.at_frame / fps)


class Usage(Record):
    gpu_seconds: float


class Video(Record):
    """What a client sees of a job."""

    # As OpenAI names them
    id: str
    object: Literal["video"] = "video"
    model: str
    status: JobState
    progress: int  # percent of all the work
    created_at: int
    completed_at: int | None
    expires_at: int | None  # when it is deleted; known from its end on, where videos do not stay for ever
    prompt: str
    size: str
    seconds: str
    remixed_from_video_id: str | None = None
    error: JobError | None
    # Our own
    stage: str | None
    chunks: Chunks
    frames: int  # that can be watched by now
    fps: int
    output: Made  # size, fps and frames of the finished video, after interpolation and enlargement
    seed: int
    turbo: Turbo | None  # what was left out of the sampling; None where nothing was
    prompts: tuple[PromptAt, ...]
    ancestry: Ancestor | None
    queue_position: int | None  # videos of yours that go before it; told where one video is asked for
    eta_s: float | None  # seconds to its end at the measured pace, with as many videos at once as now
    stream_url: str | None  # HLS, for any player and with no key; None where there is nothing to see
    started_at: int | None
    first_frame_at: int | None
    time_to_first_segment_s: float | None  # from the order to something to play
    realtime_factor: float | None  # seconds of video made a second, of a completed video
    usage: Usage
    quality: dict[str, Any] | None
    metadata: dict[str, str]


def video_of(
    job: Job,
    *,
    queue_position: int | None = None,
    pace: Pace | None = None,
    crowd: float = 1.0,
    stream_url: str | None = None,
) -> Video:
    """A job as a client sees it. `pace` and `crowd` are for the ETA: `service.estimates`."""
    made = job.generation
    chunks = [position for position, unit in enumerate(job.plan) if unit.stage.is_chunk]
    shared = job.ancestry.chunks if job.ancestry else 0
    return Video(
        id=job.id,
        model=made.model,
        status=job.state,
        progress=progress(job.units_done, job.units_total, job.begun),
        created_at=int(job.created_at),
        completed_at=_whole(job.completed_at),
        expires_at=_whole(job.expires_at),
        prompt=made.prompt,
        size=made.size,
        seconds=f"{made.num_frames / made.fps:g}",
        remixed_from_video_id=job.ancestry.video if job.ancestry and job.ancestry.kind == "remix" else None,
        error=job.error,
        stage=job.stage if job.state == JobState.IN_PROGRESS else None,
        chunks=Chunks(done=shared + len({*chunks} - {*job.left}), total=shared + len(chunks)),
        frames=job.frames,
        fps=made.fps,
        output=made.made,
        seed=made.seed,
        turbo=made.turbo,
        prompts=made.prompts,
        ancestry=Ancestor.of(job.ancestry, made.fps) if job.ancestry else None,
        queue_position=queue_position if job.state == JobState.QUEUED else None,
        eta_s=eta_s(job, pace or {}, crowd),
        stream_url=None if job.state.is_terminal and not job.frames else stream_url,
        started_at=_whole(job.started_at),
        first_frame_at=_whole(job.first_frame_at),
        time_to_first_segment_s=_rounded(time_to_first_segment_s(job)),
        realtime_factor=_rounded(realtime_factor(job)),
        usage=Usage(gpu_seconds=round(job.gpu_seconds, 3)),
        quality=job.quality,
        metadata=job.metadata,
    )


def progress(units_done: int, units_total: int, begun: float) -> int:
    """Percent of all the work, by units and what is done of those in work."""
    return int(100 * (units_done + begun) / units_total + 1e-9)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
