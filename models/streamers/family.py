"""A family's checkpoint in memory, as `models.recipe` and the workers use any model: what streams, and where it runs.

Its pipeline is diffusers'; what is done with it from chunk to chunk is the family's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import nn

from models.company import Company
from models.families.family import Family
from models.memory import placement
from models.memory.precision import VAES, Precision
from models.memory.presets import Preset
from models.model import CheckpointError
from models.request import Brief
from models.streamers.streamer import ChunkStreamer


@dataclass
class FamilyPipeline:
    """refiner: families have none. is_shared: whether several threads may use it at once; a scheduler counts steps."""

    family: Family
    pipeline: Any
    device: torch.device
    memory: Preset
    precision: Precision
    company: Company = field(default_factory=Company)
    refiner: None = None
    is_shared: bool = False

    def streamer(self, brief: Brief, sources: Mapping[str, Any], ablation: dict[str, Any]) -> ChunkStreamer:
        """What makes the chunks of one video."""
        if ablation:
            raise ValueError(f"{self.family.name} has no {', '.join(ablation)} to leave out.")
        return self.family.stream(self.pipeline, brief)


def load(
    family: Family,
    folder: str,
    device: torch.device,
    numbers: Precision,
    memory: Preset,
    beside: str | None = None,
) -> FamilyPipeline:  # by `models.loading`, which turns what is raised into a `CheckpointError`
    """A checkpoint's networks on the device. Safetensors only; no code from a checkpoint is run.

    beside: another checkpoint, folder or Hub id, which the family's streamers find as the pipeline's `beside`.
    """
    dtypes = {"default": numbers.networks} | dict.fromkeys(VAES, numbers.vae)
    if family.load is not None:
        return FamilyPipeline(family, family.load(folder, device=device, dtypes=dtypes), device, memory, numbers)
    pipeline = _placed(folder, dtypes, memory, device)
    if type(pipeline).__name__ not in family.pipelines:
        said = (
            f"{folder} is a {type(pipeline).__name__}, and {family.name} streams {', '.join(sorted(family.pipelines))}."
        )
        raise CheckpointError(said)
    if beside is not None:
        pipeline.beside = _placed(beside, dtypes, memory, device)
    return FamilyPipeline(family, pipeline, device, memory, numbers)


def _placed(folder: str, dtypes: dict[str, torch.dtype], memory: Preset, device: torch.device) -> Any:
    """A pipeline of diffusers, where its networks compute. folder: or OWNER/NAME@REVISION on the Hub."""
    name, _, revision = (folder, "", "") if Path(folder).is_dir() else folder.partition("@")
    pipeline = DiffusionPipeline.from_pretrained(name, revision=revision or None, dtype=dtypes, use_safetensors=True)
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    placement.place_beside(pipeline, memory, device)
    return pipeline
