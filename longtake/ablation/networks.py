"""The networks of the rows: the bundled model's, and those that are trained for a table, each for as many steps.

Owns how a row's network is trained and put into a pipeline; what a stage teaches is `longtake.training`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from copy import copy
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from longtake.training.baselines import AddCondStage, ConcCondStage
from longtake.training.bundle import unbundle
from longtake.training.loop import Budget, train
from longtake.training.streaming import CamStage
from models import catalog
from models.first_chunk.loading import load_source
from models.first_chunk.source import Source
from models.loading import BUNDLED, load_pipeline
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.unet import StreamingUNet3D

STAGES: dict[str, Any] = {stage.name: stage for stage in (CamStage, AddCondStage, ConcCondStage)}
#: What the three have in common, and go on from: all that was there before CAM.
COMMON = ("tokenizer", "text_encoder", "vae", "scheduler", "first_chunk", "image_encoder")


def learn(stage: str, runs: Path, steps: int, processes: int) -> None:
    """Train a row's network on top of the bundled first chunk's, unless it is trained already."""
    folder = runs / stage / catalog.DEFAULT_MODEL
    if (folder / "unet").is_dir():
        return
    if not folder.is_dir():
        unbundle(BUNDLED / catalog.DEFAULT_MODEL, folder, COMMON)
    build = partial(STAGES[stage], folder)
    train(build, budget=Budget(steps=steps), progress=runs / stage / f"{stage}.pt", processes=processes, seed=1)


def fingerprint(runs: Path, stages: Iterable[str], checkpoints: Iterable[str]) -> str:
    """Of all weights that a table rests on: other weights, other figures."""
    folders = (*(BUNDLED / name for name in checkpoints), *(runs / stage / catalog.DEFAULT_MODEL for stage in stages))
    hashed = hashlib.blake2b(digest_size=8)
    for file in sorted(file for folder in folders for file in folder.rglob("*.safetensors")):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


@cache
def source(system: str) -> Source:
    """The bundled weights of another system; loaded once a process."""
    return load_source(system, catalog.TINY_SHAPES.place(system), device="cpu", dtype=torch.float32)


@cache
def pipeline(runs: Path, stage: str | None, model: str = catalog.DEFAULT_MODEL) -> StreamingPipeline:
    """A bundled pipeline, with the network of a row in place of its own; loaded once a process."""
    if stage is None:
        return bundled(model)
    folder = runs / stage / catalog.DEFAULT_MODEL
    cam = ConditionalAttentionModule.from_pretrained(folder / "cam") if (folder / "cam").is_dir() else None
    unet = StreamingUNet3D.from_pretrained(folder / "unet")
    for part in filter(None, (unet, cam)):
        part.eval().requires_grad_(False)
    made = copy(bundled(model))  # with all but these in common
    made.register_modules(unet=unet, cam=cam)
    return made


@cache
def bundled(model: str) -> StreamingPipeline:
    """As it comes with Longtake, whatever the folder of the runs; loaded once a process."""
    return load_pipeline(model, device="cpu", dtype=torch.float32)
