"""The stages of training in their order, and `run`, which trains one of them.

Owns the list; each stage stands in a module of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from longtake.training.autoencoder import AutoencoderStage
from longtake.training.loop import Stage, train

STAGES: dict[str, tuple[Callable[[Path], Stage], float]] = {
    "vae": (AutoencoderStage, 10),
}


def run(name: str, *, checkpoint: Path, runs: Path, minutes: float | None, processes: int, seed: int) -> None:
    """Train stage `name` on top of what `checkpoint` holds, and write its weights there.

    Stopped at any moment it loses at most two minutes: `runs/NAME.pt` is where the next call goes on.
    """
    stage, default_minutes = STAGES[name]
    build = functools.partial(stage, checkpoint)
    train(build, minutes=minutes or default_minutes, progress=runs / f"{name}.pt", processes=processes, seed=seed)
