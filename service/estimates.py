"""How long a video will still take: from what its own units took, and before there are any, from what others' did.

Its own count first, because steps and size decide what a unit takes. Every unit of a stage is alike but those of
refinement, which hold as many windows as their diagonal crosses. Pure functions of jobs; knows no clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.model import CatalogError
from models.units import Stage, Unit
from service.jobs import Job

Pace = Mapping[tuple[str, str], float]  # seconds a unit, by (model, stage)

NEWEST = 0.5  # of a job's own pace, what the newest unit counts
SOONEST_MS, LATEST_MS = 250, 5000


def eta_s(job: Job, pace: Pace, crowd: float = 1.0) -> float | None:
    """Seconds until the video has ended; None where a stage was never measured.

    crowd: how many videos take turns on each worker. They are taken to stay, so the video is done sooner where others
    end.
    """
    if job.state.is_terminal:
        return None
    loads = _loads(job)
    left = [_seconds(job, unit, pace, loads) for unit in job.plan[job.units_done :]]
    known = [seconds for seconds in left if seconds is not None]
    if len(known) < len(left):
        return None
    begun = known[0] * job.step / job.steps if known and job.steps else 0.0
    return round(max(0.0, sum(known) - begun) * crowd, 1)


def poll_after_ms(job: Job, pace: Pace, crowd: float, default_ms: int) -> int:
    """When there will be something new to see: about a unit from now."""
    seconds = _seconds(job, job.unit, pace, _loads(job)) if job.unit else None
    return default_ms if seconds is None else int(min(max(1000 * seconds * crowd, SOONEST_MS), LATEST_MS))


def paces(job: Job, stage: str, seconds: float) -> dict[str, float]:
    """The job's own pace, seconds a load by stage, after the unit that was in work has taken so long."""
    load = _loads(job).get(job.unit.index, 1) if job.unit and job.unit.stage is Stage.REFINE else 1
    now = seconds / load
    return {**job.paces, stage: round(NEWEST * now + (1 - NEWEST) * job.paces.get(stage, now), 4)}


def _seconds(job: Job, unit: Unit, pace: Pace, loads: Mapping[int, int]) -> float | None:
    own = job.paces.get(unit.stage)
    if own is None:
        return pace.get((job.generation.model, unit.stage))
    return own * loads.get(unit.index, 1) if unit.stage is Stage.REFINE else own


def _loads(job: Job) -> dict[int, int]:
    """Windows that each diagonal of refinement crosses, by its index."""
    refine = job.generation.refine
    if refine is None:
        return {}
    try:
        diagonals = sum(unit.stage is Stage.REFINE for unit in job.generation.plan())
    except CatalogError:
        return {}
    most = min(refine.steps, diagonals - refine.steps + 1)
    return {index: min(index + 1, diagonals - index, most) for index in range(diagonals)}
