"""New prompts for the part of a video that nobody has begun, and the chunk at which they take effect.

What is made, and the chunk in work, keep the prompts they were begun with: whoever makes that chunk again, after a
lost worker, makes the same frames. Pure functions of jobs; knows nothing of HTTP, Redis or tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.units import Unit
from service.errors import AlreadyMade, InvalidRequest
from service.jobs import Job, PromptAt
from service.lineage import up_to


@dataclass(frozen=True, slots=True)
class Steering:
    """prompts: the whole schedule as it then is; chunk: the first one that follows a new prompt, and its frame."""

    prompts: tuple[PromptAt, ...]
    chunk: int
    frame: int


def next_chunk(job: Job) -> Unit:
    """The first chunk that nobody has begun. Raises `AlreadyMade` where there is none."""
    left = () if job.state.is_terminal else job.left
    free = (job.plan[position] for position in left if position not in job.working)
    unit = next((unit for unit in free if unit.stage.is_chunk), None)
    if unit is None:
        raise AlreadyMade("Every frame of this video is made or being made; extend it, or branch it.", "id")
    return unit


def steer(job: Job, prompts: Sequence[PromptAt]) -> Steering:
    """The schedule with these prompts in place of all that was to come. Raises `AlreadyMade`.

    prompts: one or more, in the order of their times; a time before `next_chunk` is refused, for that is made already.
    """
    fps, free = job.generation.fps, next_chunk(job)
    times = [entry.at_seconds for entry in prompts]
    if sorted(set(times)) != times:
        raise InvalidRequest("The times of the prompts grow.", "prompts", "invalid_value")
    for i, entry in enumerate(prompts):
        if round(entry.at_seconds * fps) < free.first_frame:
            earliest = f"it can be steered from {free.first_frame / fps:g} on"
            said = f"at_seconds is {entry.at_seconds:g}, where the video is made"
            raise AlreadyMade(f"{said}; {earliest}.", f"prompts[{i}].at_seconds")
    first = round(prompts[0].at_seconds * fps)
    units = (unit for unit in job.plan if unit.stage.is_chunk and unit.first_frame >= first)
    if (heard := next(units, None)) is None:
        raise AlreadyMade(f"No chunk begins at {times[0]:g} seconds or after.", "prompts[0].at_seconds")
    kept = up_to(job.generation, free.first_frame)
    return Steering((*kept, *prompts), heard.index, heard.first_frame)
