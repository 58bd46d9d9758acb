"""Checkpoints to pipelines: a bundled name, a folder in diffusers layout, or a Hub id.

Owns where weights are found and in which precision they run. Safetensors only; no code from a checkpoint is run.
"""

from __future__ import annotations

from pathlib import Path

import diffusers.utils.logging
import torch
import transformers.utils.logging

from models.catalog import MODELS, CheckpointError
from models.streaming_t2v.pipeline import StreamingPipeline

BUNDLED = Path(__file__).parent / "checkpoints"


def load_pipeline(
    path_or_name: str | Path, device: str | None = None, dtype: torch.dtype | None = None
) -> StreamingPipeline:
    """Load a checkpoint's components for inference.

    device: 'cuda', 'cpu', …; a GPU where there is one by default. dtype: by default float32 on a CPU (half precision
    is slower there) and bfloat16 on a GPU. Raises `CheckpointError`.
    """
    folder = find_checkpoint(path_or_name)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or (torch.float32 if device == "cpu" else torch.bfloat16)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        pipeline = StreamingPipeline.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    except (OSError, ValueError, ImportError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path_or_name} is not a checkpoint that Longtake can load: {error}") from error
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    return pipeline.to(device)


def find_checkpoint(path_or_name: str | Path) -> str:
    """The folder of a bundled name or a path, else the text itself as a Hub id."""
    for folder in (BUNDLED / str(path_or_name), Path(path_or_name)):
        if (folder / "model_index.json").is_file():
            return str(folder)
    if Path(path_or_name).is_dir():
        raise CheckpointError(f"{path_or_name} holds no model_index.json, so it is no checkpoint in diffusers layout.")
    if path_or_name in MODELS:
        raise CheckpointError(
            f"The weights of {path_or_name} do not come with Longtake: convert them (docs/checkpoints.md), and name "
            "their folder in LONGTAKE_CHECKPOINTS."
        )
    if str(path_or_name).count("/") != 1:
        raise CheckpointError(f"There is no checkpoint '{path_or_name}': neither bundled, nor a folder, nor a Hub id.")
    return str(path_or_name)
