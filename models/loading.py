"""Checkpoints to pipelines: a bundled name, a folder in diffusers layout, or a Hub id.

Owns where weights are found; in which precision and where they run is `models.memory`'s. Safetensors only; no code
from a checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import diffusers.utils.logging
import torch
import transformers.utils.logging

from models import families
from models.catalog import MODELS
from models.memory import budget, placement, precision, presets, shadow
from models.memory.stages import Work
from models.model import CheckpointError, Model, Size
from models.streamers import family as of_family
from models.streamers.family import FamilyPipeline
from models.streaming_t2v.pipeline import StreamingPipeline

BUNDLED = Path(__file__).parent / "checkpoints"

#: Files that run, or that run when they are read: code, and pickles by the names that they go by.
RUNS = frozenset({".py", ".pyc", ".so", ".bin", ".pt", ".pth", ".pt2", ".ckpt", ".pkl", ".pickle"})


def load_pipeline(
    path_or_name: str | Path,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    memory: str = presets.AUTO,
    pairs: Sequence[tuple[Size, Size]] = (),
) -> StreamingPipeline:
    """Load a checkpoint's components for inference.

    device: 'cuda', 'cpu', …; a GPU where there is one by default. dtype: see `models.memory.precision`. memory: the
    name of a preset, or 'auto': the one with the most memory that fits the device at the sizes in `pairs` (preview,
    refined; by default those that the networks were made for). Raises `CheckpointError`.
    """
    folder = find_checkpoint(path_or_name)
    asked = None if memory == presets.AUTO else presets.find(memory)
    target = _device(device)
    numbers = precision.choose(target, dtype)
    dtypes = {"default": numbers.networks} | dict.fromkeys(precision.VAES, numbers.vae)
    with _refusing(path_or_name):
        pipeline = StreamingPipeline.from_pretrained(folder, dtype=dtypes, use_safetensors=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    pipeline.precision = numbers
    pipeline.memory = _preset(pipeline, target, asked, pairs)
    return placement.place(pipeline, pipeline.memory, target)


def load_model(
    model: Model, path: str | Path, device: str | None = None, memory: str = presets.AUTO
) -> StreamingPipeline | FamilyPipeline:
    """Load what a model is made with, from a folder, a bundled name or a Hub id: its family's, or StreamingT2V's.

    For a family, 'auto' is all of its networks on the device. Raises `CheckpointError`.
    """
    if not model.family:
        return load_pipeline(path, device=device, memory=memory, pairs=model.pairs)
    family, folder, target = families.of(model), find_checkpoint(path), _device(device)
    preset = presets.LARGE if memory == presets.AUTO else presets.find(memory)
    with _refusing(path):
        other = families.beside(model)
        beside = find_checkpoint(other) if other else None
        return of_family.load(family, folder, target, precision.choose(target), preset, beside)


def _device(name: str | None) -> torch.device:
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def _refusing(path_or_name: str | Path) -> Iterator[None]:
    """Whatever diffusers and transformers raise of a checkpoint, as one error; and no progress bars."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except CheckpointError:
        raise
    except (OSError, ValueError, ImportError, TypeError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path_or_name} is not a checkpoint that Longtake can load: {error}") from error


def _preset(
    pipeline: StreamingPipeline,
    device: torch.device,
    asked: presets.Preset | None,
    pairs: Sequence[tuple[Size, Size]],
) -> presets.Preset:
    """A GPU is measured against what is needed; a CPU's memory is the machine's, and nothing is gained by dividing."""
    if device.type != "cuda":
        return asked or presets.LARGE
    total = torch.cuda.get_device_properties(device).total_memory
    works = [Work(*pair) for pair in pairs] or [Work.native(pipeline.components)]
    needs = budget.Budget(shadow.shadows(pipeline.components, pipeline.precision), works)
    return budget.choose(needs, total, torch.cuda.get_device_name(device), asked)


def find_checkpoint(path_or_name: str | Path) -> str:
    """The folder of a bundled name or a path, else the text itself as a Hub id.

    Raises `CheckpointError`, also for a folder with a file that could run something: none of them would be read, but
    whoever made it so meant them to be.
    """
    for folder in (BUNDLED / str(path_or_name), Path(path_or_name)):
        if (folder / "model_index.json").is_file():
            if risky := sorted(file for file in folder.rglob("*") if file.suffix.lower() in RUNS):
                raise CheckpointError(
                    f"{path_or_name} holds {risky[0].relative_to(folder)}, and Longtake loads no folder with code or "
                    "pickles in it: fetch it without them, or delete what is neither safetensors nor text."
                )
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
