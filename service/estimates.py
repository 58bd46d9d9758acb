"""How long a video will still take: from what its own units took, and before there are any, from what others' did.

Its own count first, because steps and size decide what a unit takes. Every unit of a stage is alike but those of
refinement, which hold as many windows as their tile has nodes. Pure functions of jobs; knows no clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from models import units
from models.model import CatalogError
from models.units import Stage, Unit
from service.jobs import Claim, Job

Pace = Mapping[tuple[str, str], float]  # seconds a unit, by (model, stage)

NEWEST = 0.5  # of a job's own pace, what the newest unit counts
SOONEST_MS, LATEST_MS = 250, 5000


def eta_s(job: Job, pace: Pace, crowd: float = 1.0) -> float | None:
    """Seconds until the video has ended; None where a stage was never measured.

    crowd: how many videos take turns on each worker, and below 1 what part of them one has to itself. They are taken to
    stay, so the video is done sooner where others end.
    """
    if job.state.is_terminal:
        return None
    loads = _loads(job)
    left = {position: _seconds(job, job.plan[position], pace, loads) for position in job.left}
    known = {position: seconds for position, seconds in left.items() if seconds is not None}
    if len(known) < len(left):
        return None
    begun = sum(known[at] * work.step / work.steps for at, work in job.working.items() if work.steps and at in known)
    return round(max(0.0, sum(known.values()) - begun) * crowd, 1)


def poll_after_ms(job: Job, pace: Pace, crowd: float, default_ms: int) -> int:
    """When there will be something new to see: about a unit from now."""
    seconds = _seconds(job, job.unit, pace, _loads(job)) if job.unit else None
    return default_ms if seconds is None else int(min(max(1000 * seconds * crowd, SOONEST_MS), LATEST_MS))


def pace_now(claim: Claim, seconds: float) -> float:
    """The job's own pace in the stage of a claimed unit, seconds a load, after that unit has taken so long."""
    job, stage = claim.job, claim.stage
    load = _loads(job).get(job.plan[claim.position].index, 1) if stage == Stage.REFINE else 1
    now = seconds / load
    return round(NEWEST * now + (1 - NEWEST) * job.paces.get(stage, now), 4)


def _seconds(job: Job, unit: Unit, pace: Pace, loads: Mapping[int, int]) -> float | None:
    own = job.paces.get(unit.stage)
    if own is None:
        return pace.get((job.generation.model, unit.stage))
    return own * loads.get(unit.index, 1) if unit.stage is Stage.REFINE else own


def _loads(job: Job) -> dict[int, int]:
    """How often the network looks at a window in each tile of refinement, by the tile's index."""
    made = job.generation
    if made.refine is None:
        return {}
    try:
        tiling = units.tiling(made.recipe(), made.num_frames, made.refine.steps, made.refine.bands)
    except CatalogError:
        return {}
    return {index: tiling.looks(tile) for index, tile in enumerate(tiling.tiles)}
