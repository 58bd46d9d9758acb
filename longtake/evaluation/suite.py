"""The shapes suite: a model draws held-out captions and long videos, and the tracker says what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from models import catalog
from models.model import Model


def load(model: str, checkpoint: str | None) -> tuple[Any, Model]:
    """The pipeline, and the entry whose limits and defaults it is used with."""
    entry = catalog.find(model)

    import torch

    from models.loading import load_pipeline
    from workers.settings import WorkerSettings

    torch.set_num_threads(WorkerSettings().torch_threads)  # the frames that the service would make
    return load_pipeline(checkpoint or entry.checkpoint), entry


def run(pipeline: Any, entry: Model, *, captions: int, roll_outs: int, frames: int) -> dict[str, dict[str, float]]:
    """Figures of `first chunk` and of every variant of the method, as far as they are asked for."""
    from models.evaluation import following, gap

    figures: dict[str, dict[str, float]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        if captions:
            task = progress.add_task("first chunks", total=captions)
            made = following.evaluate_first_chunks(pipeline, entry, captions, lambda: progress.advance(task))
            figures["first chunk"] = {**made, "caption gap": gap.caption_gap(pipeline)}
        for variant in following.VARIANTS if roll_outs else ():
            task = progress.add_task(variant, total=roll_outs)
            figures[variant] = following.evaluate_roll_outs(
                pipeline,
                entry,
                roll_outs,
                frames,
                variant,
                lambda task=task: progress.advance(task),  # type: ignore[misc]
            )
    return figures


def write_sheet(pipeline: Any, entry: Model, frames: int, target: Path) -> None:
    """Eight videos of held-out captions as a contact sheet."""
    from longtake.evaluation.contact_sheet import contact_sheet
    from models.evaluation import following

    prompts = [str(caption) for caption in following.held_out_captions(8)]
    contact_sheet(pipeline, entry, prompts, frames, every=5).save(target, optimize=True)
