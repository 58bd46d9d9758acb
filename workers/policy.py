"""What may be shown: the operator's look at pictures that were made, before anyone else can see them.

Without a classifier everything passes: none is bundled, since one needs weights of its own. Knows pictures; where
they are stored and what becomes of the job, others know.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.units import Unit
from service.errors import PolicyRefused
from service.jobs import Job
from service.plugin import Plugin
from service.policy import prompts_of
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

REJECTED = "What the video came to show is not allowed here, so none of it is shown."


@dataclass(frozen=True, slots=True)
class Shown:
    """What a classifier is given of one chunk."""

    pictures: np.ndarray  # [F, H, W, 3], uint8, RGB
    frames: tuple[int, ...]  # where in the video each of them is
    prompts: tuple[str, ...]
    job_id: str


class FrameClassifier(Protocol):
    """What LONGTAKE_FRAME_POLICY names. None lets the chunk pass; a reason is for the operator's log."""

    def __call__(self, shown: Shown, /) -> str | None: ...


class FramePolicy:
    """One a worker; raises `BadPlugin` where the classifier cannot be used."""

    def __init__(self, settings: WorkerSettings):
        self._samples = settings.frame_policy_samples
        self._classifier: Plugin[Shown] | None = None
        if settings.frame_policy:
            self._classifier = Plugin(
                settings.frame_policy, timeout_s=settings.frame_policy_timeout_s, failure=settings.policy_failure
            )

    def check_frames(self, job: Job, unit: Unit, frames: np.ndarray) -> None:
        """Raises `PolicyRefused`, and `PolicyUnavailable` where nobody can tell. frames: [F, H, W, 3]."""
        if self._classifier is None:
            return
        chosen = sampled(len(frames), self._samples)
        numbers = tuple(unit.first_frame + i for i in chosen)
        prompts = tuple(prompts_of(job.generation))
        reason = self._classifier(Shown(frames[chosen], numbers, prompts, job.id))
        if reason is not None:
            log.warning("frames rejected", extra={"job": job.id, "unit": unit.key, "reason": reason})
            raise PolicyRefused(REJECTED)


def sampled(count: int, samples: int) -> list[int]:
    """So many of `count` frames, evenly apart, the first and the last among them; 0 samples is all of them."""
    wanted = min(samples, count) if samples else count
    return sorted({round(i * (count - 1) / max(1, wanted - 1)) for i in range(wanted)})
