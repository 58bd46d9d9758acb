"""Faster streaming that is not the same video: what is left out of a chunk's sampling, each by a name of its own.

Nothing is left out unless it is said. Owns which step does what; the networks do it (`unet`, `cam`), and the sampler
asks. Sources: DPM-Solver++ (arXiv 2211.01095), UniPC (arXiv 2302.04867), guidance in a limited interval (arXiv
2404.07724), DeepCache (arXiv 2312.00858).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

#: By name, what takes the place of the checkpoint's own scheduler; None leaves it.
SOLVERS: dict[str, Any] = {"ddim": None, "dpm++": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}


@dataclass(frozen=True, slots=True)
class Turbo:
    """solver: one of `SOLVERS`, for fewer steps. guide_from, guide_to: the part of the steps, 0 to 1, in which there is
    guidance; outside of it the network is asked once a step, for prompt and anchor. memory_every: CAM looks again every
    so many steps, and between them is remembered. deep_every: so do all levels of the network but the first. Both are 1
    for every step, and neither skips the first or the last one.
    """

    solver: str = "ddim"
    guide_from: float = 0.0
    guide_to: float = 1.0
    memory_every: int = 1
    deep_every: int = 1

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver is '{self.solver}'; it can be {', '.join(SOLVERS)}.")
        if not 0 <= self.guide_from <= self.guide_to <= 1:
            raise ValueError(f"guidance is from {self.guide_from:g} to {self.guide_to:g}; 0 to 1, in that order.")
        if self.memory_every < 1 or self.deep_every < 1:
            raise ValueError("memory_every and deep_every are 1 or more.")

    def scheduler(self, own: Any) -> Any:
        """What solves the chunk, with the noise levels of the checkpoint's own."""
        solver = SOLVERS[self.solver]
        return own if solver is None else solver.from_config(own.config)

    def is_guided(self, step: int, steps: int) -> bool:
        return self.guide_from <= step / steps < self.guide_to or (self.guide_to == 1 and step == steps - 1)

    def looks_again(self, step: int, steps: int, every: int) -> bool:
        """Whether what is remembered between steps is made anew at this one."""
        return step % every == 0 or step == steps - 1
