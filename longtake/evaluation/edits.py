"""The suite of edits: held-out clips are changed by a model that follows clips, and the tracker says what came of them.

An editor is told the instruction; a ControlNet, which is shown edges alone, what is to be seen in the end.
"""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.progress import Progress

from models.model import Model
from models.systems import CONTROLNET

WITHIN_EDGES = ("colour", "background")  # what can be changed without moving an edge


def run(model: Model, checkpoint: str | None, count: int) -> dict[str, dict[str, float]]:
    """Figures of each kind of change and of all, with the model's own steps and scales. checkpoint: other weights."""
    import torch

    from models.evaluation.editing import Case, evaluate_edits
    from models.first_chunk.loading import load_source
    from models.shapes.instruction import CHANGES
    from models.streaming_t2v.sampler import ignore
    from workers.settings import WorkerSettings

    torch.set_num_threads(WorkerSettings().torch_threads)
    controlled = model.streamer == CONTROLNET
    source = load_source(model.streamer, checkpoint or model.place(model.streamer))

    def changed(case: Case) -> np.ndarray:
        follow = source.follower(  # type: ignore[attr-defined]
            case.caption if controlled else str(case.instruction), "", seed=0,
            steps=model.default_steps, guidance_scale=model.default_guidance_scale,
            closeness=model.default_anchor_guidance_scale, chunk_frames=model.chunk_frames,
        )  # fmt: skip
        return np.concatenate(list(follow.follow(source.shown(case.frames), ignore)))  # type: ignore[attr-defined]

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("edits", total=count)
        done = lambda: progress.advance(task)  # noqa: E731
        return evaluate_edits(changed, count, done, changes=WITHIN_EDGES if controlled else tuple(CHANGES))
