"""Which of diffusers' schedulers takes the steps of a chunk. Owns the choice; the loop is `sampler`'s."""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

SOLVERS: dict[str, Any] = {"dpm++": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}


def solver(own: Any, name: str, steps: int, device: torch.device) -> Any:
    """One of `models.turbo.SOLVERS` with so many steps before it, over the noise levels of the checkpoint's own."""
    made = SOLVERS[name].from_config(own.config) if name in SOLVERS else copy.deepcopy(own)
    made.set_timesteps(steps, device=device)
    return made
