"""The suite of edits: held-out clips are changed by instructions, and the tracker says what came of them."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.progress import Progress

from models.loading import find_checkpoint

EDITOR = "tiny-instruct-pix2pix"


def run(checkpoint: str | None, count: int) -> dict[str, dict[str, float]]:
    """Figures of each kind of change and of all. checkpoint: an InstructPix2Pix's folder, or a bundled name."""
    import torch

    from models.evaluation.editing import evaluate_edits
    from models.text2video_zero import parts
    from models.text2video_zero.edit import EditOptions, edit
    from workers.settings import WorkerSettings

    torch.set_num_threads(WorkerSettings().torch_threads)
    editor = parts.load(str(find_checkpoint(checkpoint or EDITOR)), shown=True, dtype=torch.float32)
    options = EditOptions(steps=10, guidance_scale=3.0, image_guidance_scale=1.5)

    def edited(clip: np.ndarray, instruction: str) -> np.ndarray:
        return np.concatenate(list(edit(editor, clip, instruction, seed=0, options=options)))

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("edits", total=count)
        return evaluate_edits(edited, count, lambda: progress.advance(task))
