"""Faster videos that are not the same videos: what is left out of the sampling, each by a name of its own.

Nothing is left out unless it is said. Standard library only: the API reads it too. Owns which step does what; who takes
the steps (`models.streaming_t2v`, `models.refinement`) asks. Sources: DPM-Solver++ (arXiv 2211.01095), UniPC (arXiv
2302.04867), guidance in a limited interval (arXiv 2404.07724), DeepCache (arXiv 2312.00858).
"""

from __future__ import annotations

from dataclasses import dataclass

SOLVERS = ("ddim", "dpm++", "unipc")  # the first is what checkpoints come with
MOST_KEPT = 10  # steps from one making of what is kept to the next


@dataclass(frozen=True, slots=True)
class Turbo:
    """solver: of the chunks, for fewer steps. guide_from, guide_to: the part of the steps, 0 to 1, in which there is
    guidance, of chunks and of refinement; outside of it the network is asked once a step, for prompt and anchor.
    memory_every: CAM looks again every so many steps of a chunk, and between them is remembered. deep_every: so do all
    levels of the network but the first. Both are 1 for every step, and neither skips the first or the last one. Raises
    `ValueError` for what cannot be.
    """

    solver: str = SOLVERS[0]
    guide_from: float = 0.0
    guide_to: float = 1.0
    memory_every: int = 1
    deep_every: int = 1

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver is '{self.solver}'; it can be {', '.join(SOLVERS)}.")
        if not 0 <= self.guide_from <= self.guide_to <= 1:
            said = f"guide_from is {self.guide_from:g} and guide_to {self.guide_to:g}"
            raise ValueError(f"{said}; both are 0 to 1, in that order.")
        for name in ("memory_every", "deep_every"):
            if not 1 <= getattr(self, name) <= MOST_KEPT:
                raise ValueError(f"{name} is {getattr(self, name)}; 1 to {MOST_KEPT} are possible.")

    def is_guided(self, step: int, steps: int) -> bool:
        return self.guide_from <= step / steps < self.guide_to

    def looks_again(self, step: int, steps: int, every: int) -> bool:
        """Whether what is remembered between steps is made anew at this one."""
        return step % every == 0 or step == steps - 1


@dataclass(frozen=True, slots=True)
class Preset:
    """What a model does where turbo is asked for and nothing else is said."""

    options: Turbo
    steps: int  # of a chunk
    refine_steps: int
