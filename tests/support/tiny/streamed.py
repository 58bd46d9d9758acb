"""A tiny checkpoint as the house streams it: described, loaded, and asked chunk after chunk from its states alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.checkpoints import stranger
from models import state
from models.families.family import Family, Option
from models.memory import precision, presets
from models.model import Model, Size
from models.request import Brief, default_request
from models.streamers import family as loaded
from models.streamers.streamer import ChunkStreamer, State
from models.streaming_t2v.sampler import OnStep, ignore
from models.units import Stage, Unit

PROMPT, OTHER = "a cat on a wall", "a dog in the rain"


def model(family: Family, folder: Path, size: Size, **options: Option) -> Model:
    """As `longtake models add` enters it."""
    return family.describe("tiny", str(folder), stranger.look_at(str(folder)).facts, sizes=(size,), **options)


def pipeline(family: Family, folder: Path) -> Any:
    """As a worker loads it."""
    device = torch.device("cpu")
    return loaded.load(family, str(folder), device, precision.choose(device), presets.LARGE).pipeline


def brief(model: Model, **changes: Any) -> Brief:
    """Three chunks with guidance, in two steps each."""
    asked = default_request(model, PROMPT, num_frames=frames(model, 3), seed=5, refine=False)
    return Brief(model, replace(asked, **{"steps": 2, "guidance_scale": 3.0, "negative_prompt": "fog", **changes}))


def frames(model: Model, chunks: int) -> int:
    """Of so many chunks."""
    return model.chunk_frames + (chunks - 1) * model.new_frames


def unit(model: Model, index: int) -> Unit:
    """A later chunk of the model's."""
    return Unit(index, Stage.STREAM, index, frames(model, index), model.new_frames, ())


def chunks(
    streamer: ChunkStreamer, model: Model, count: int, on_step: OnStep = ignore
) -> Iterator[tuple[np.ndarray, State]]:
    """Each chunk from the bytes that the one before it left."""
    made, left = streamer.begin(on_step)
    yield made, left
    for index in range(1, count):
        made, left = streamer.go_on(unit(model, index), state.loads(state.dumps(left)), on_step)
        yield made, left


def video(streamer: ChunkStreamer, model: Model, count: int = 3) -> np.ndarray:
    """All frames, uint8 [F, H, W, 3]."""
    return np.concatenate([made for made, _ in chunks(streamer, model, count)])


def picture(seed: int) -> np.ndarray:
    """A picture of soft colours, uint8 [40, 60, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return coarse.repeat(10, axis=0).repeat(10, axis=1)
