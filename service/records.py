"""How a job is written down, and how it and its units are read back: from the store, an event's row, a filed record.

A record says by which `schema_version` it was written. An older one is read as its defaults complete it; one that a
newer release wrote, or that is damaged, is an error with a name, whoever reads it. Knows nothing of Redis.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from service.errors import UnreadableRecord
from service.jobs import SCHEMA_VERSION, Job, JobState, UnitDone

#: How a field that changes is read back from a job's hash.
_CHANGING: dict[str, Callable[[str], Any]] = {
    "created_at": lambda ms: int(ms) / 1000,
    "started_at": lambda ms: int(ms) / 1000,
    "first_frame_at": lambda ms: int(ms) / 1000,
    "completed_at": lambda ms: int(ms) / 1000,
    "expires_at": lambda ms: int(ms) / 1000,
    "state": JobState,
    "units_done": int,
    "pool": str,
    "ready": lambda positions: tuple(json.loads(positions)),
    "working": json.loads,
    "opened": int,
    "fence": int,
    "frames": int,
    "gpu_seconds": float,
    "paces": json.loads,
    "error": json.loads,
    "quality": json.loads,
    "artefacts": json.loads,
}


#: What records of version 1 say too, of the one unit that could be in work.
_GONE = ("attempts", "worker", "step", "steps")


def record_of(job: Job) -> str:
    """What is kept of a job as it was submitted; what changes is kept beside it, and what is not said is left out."""
    return job.model_dump_json(exclude={*_CHANGING}, exclude_none=True)


def read_job(row: Mapping[str, str]) -> Job:
    """A job from its hash: the record as submitted, overlaid with what has changed. Raises `UnreadableRecord`."""
    try:
        record = json.loads(row["record"])
        version = record.get("schema_version", 1)
        if version > SCHEMA_VERSION:
            raise UnreadableRecord(
                f"The record of this video is of version {version}, and this process reads up to {SCHEMA_VERSION}: "
                f"it is of an older release than the one that ordered the video, and must be upgraded."
            )
        if version < 2:
            record = {name: value for name, value in record.items() if name not in _GONE}
        if "prompts" in row:  # the job was steered
            record["generation"]["prompts"] = json.loads(row["prompts"])
        changed = {name: read(row[name]) for name, read in _CHANGING.items() if name in row}
        return Job.model_validate({**record, **changed})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnreadableRecord(f"The record of this video cannot be read: {_why(error)}.") from error


def read_unit(row: str) -> UnitDone:
    """A committed unit. Raises `UnreadableRecord`."""
    try:
        return UnitDone.model_validate_json(row)
    except ValidationError as error:
        raise UnreadableRecord(f"The record of a unit of this video cannot be read: {_why(error)}.") from error


def _why(error: Exception) -> str:
    """What is wrong, and where; never what the record says."""
    if not isinstance(error, ValidationError):
        return type(error).__name__
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
