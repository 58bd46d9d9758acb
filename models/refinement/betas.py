"""Noise schedules given as betas, as every ordinary scheduler of diffusers has one, for a refiner.

So any video network that was trained with DDPM's noise can refine. Owns the table; the scheduler's own way of stepping
is not used.
"""

from __future__ import annotations

from typing import Any

from models.model import CheckpointError
from models.refinement.levels import NoiseLevels, check_prediction


class BetaSchedule(NoiseLevels):
    """alpha_t^2 is the product of 1 - beta up to t (arXiv 2006.11239): what diffusers calls `alphas_cumprod`."""

    def __init__(self, scheduler: Any):
        check_prediction(scheduler.config.prediction_type)
        self.config = scheduler.config
        self.alphas = scheduler.alphas_cumprod.float().cpu().sqrt()
        self.sigmas = (1 - scheduler.alphas_cumprod.float().cpu()).sqrt()


def levels_of(schedule: Any) -> NoiseLevels:
    """A checkpoint's `refiner_schedule`, whether it is ours or a scheduler of diffusers. Raises `CheckpointError`."""
    if isinstance(schedule, NoiseLevels):
        return schedule
    if not hasattr(schedule, "alphas_cumprod"):
        raise CheckpointError(f"The refiner's schedule is a {type(schedule).__name__}; only one with betas will do.")
    try:
        return BetaSchedule(schedule)
    except ValueError as error:
        raise CheckpointError(f"The refiner's schedule cannot be used: {error}") from error
