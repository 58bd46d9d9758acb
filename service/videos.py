"""A job's public face: the video object of the API and of webhooks.

OpenAI's field names, and our own after them. Knows nothing of HTTP or Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.catalog import Stage
from service.jobs import Job, JobState

Pace = Mapping[tuple[str, str], float]
_CHUNK_STAGES = (Stage.INITIALIZE, Stage.STREAM)


def video_object(job: Job, *, queue_position: int | None = None, pace: Pace | None = None) -> dict[str, Any]:
    """What a client sees of a job. `pace` is seconds a unit, by (model, stage), for the ETA."""
    made = job.generation
    chunks = [unit for unit in made.plan() if unit.stage in _CHUNK_STAGES]
    return {
        "id": job.id,
        "object": "video",
        "model": made.model,
        "status": str(job.state),
        "progress": 100 * job.units_done // job.units_total,
        "created_at": int(job.created_at),
        "completed_at": _whole(job.completed_at),
        "expires_at": None,
        "prompt": made.prompt,
        "size": made.size,
        "seconds": f"{made.num_frames / made.fps:g}",
        "remixed_from_video_id": None,
        "error": job.error.model_dump() if job.error else None,
        "stage": job.stage if job.state == JobState.IN_PROGRESS else None,
        "chunks": {"done": min(job.units_done, len(chunks)), "total": len(chunks)},
        "frames": job.frames,
        "fps": made.fps,
        "seed": made.seed,
        "prompts": [prompt.model_dump() for prompt in made.prompts],
        "queue_position": queue_position if job.state == JobState.QUEUED else None,
        "eta_s": _eta_s(job, pace or {}),
        "stream_url": None,
        "started_at": _whole(job.started_at),
        "first_frame_at": _whole(job.first_frame_at),
        "usage": {"gpu_seconds": round(job.gpu_seconds, 3)},
        "quality": job.quality,
        "metadata": job.metadata,
    }


def _eta_s(job: Job, pace: Pace) -> float | None:
    """Seconds of work that are left at the measured pace; None where a stage was never measured."""
    if job.state.is_terminal:
        return None
    left = [pace.get((job.generation.model, unit.stage)) for unit in job.generation.plan()[job.units_done :]]
    known = [seconds for seconds in left if seconds is not None]
    return round(sum(known), 1) if len(known) == len(left) else None


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
