"""The stages of training in their order, and `run`, which trains one of them.

Owns the list; each stage stands in a module of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from longtake.training.autoencoder import AutoencoderStage
from longtake.training.clip_pair import ClipStage
from longtake.training.clips import Source
from longtake.training.first_chunk import FirstChunkStage
from longtake.training.layout import LayoutStage
from longtake.training.loop import Budget, Stage, train
from longtake.training.refiner import RefinerStage
from longtake.training.streaming import ApmStage, CamStage
from longtake.training.text import TextStage

#: Name -> the stage and its minutes on two CPU cores. Each builds on those before it.
STAGES: dict[str, tuple[Callable[..., Stage], float]] = {
    "vae": (AutoencoderStage, 20),
    "text": (TextStage, 3),
    "layout": (LayoutStage, 4),
    "clip": (ClipStage, 4),
    "first_chunk": (FirstChunkStage, 100),
    "cam": (CamStage, 40),
    "apm": (ApmStage, 15),
    "refiner": (RefinerStage, 17),
}


#: Those that can be trained on people's own footage instead of the shapes world.
ON_FOOTAGE = ("cam", "apm")


def run(
    name: str,
    *,
    checkpoint: Path,
    runs: Path,
    budget: Budget | None,
    processes: int,
    seed: int,
    source: Source | None = None,
) -> None:
    """Train stage `name` on top of what `checkpoint` holds, and write its weights there.

    budget: by default the stage's own. source: where a stage of `ON_FOOTAGE` takes its clips from, if not drawn ones.
    Stopped at any moment it loses at most two minutes: `runs/NAME.pt` is where the next call goes on.
    """
    stage, minutes = STAGES[name]
    build = functools.partial(stage, checkpoint, **({} if source is None else {"source": source}))
    train(
        build,
        budget=budget or Budget(minutes=minutes),
        progress=runs / f"{name}.pt",
        processes=processes,
        seed=seed,
    )
