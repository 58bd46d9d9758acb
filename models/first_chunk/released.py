"""Any clip model of diffusers whose release is known as the source of first chunks: from text, or from a picture.

Owns what of a clip becomes the chunk: its first seconds, at the chunk's frame rate and size. How each model is asked,
`models.releases` knows. Knows nothing of StreamingT2V.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import nn

from models import pixels
from models.families.family import Facts
from models.first_chunk.source import Wish
from models.memory.precision import VAES
from models.model import CheckpointError, Size, listed
from models.releases import PICTURES, TEXTS, Release, find
from models.streamers import apart
from models.streaming_t2v.sampler import OnStep

STAGE = "first-chunk"


class Released:
    """Draws in the shape wished for where the networks can, else on their canvas; and no longer than the chunk is.

    A clip of more frames a second than the chunk has is shown at every so-manieth, one of fewer at some of them twice.
    """

    def __init__(self, pipeline: Any, release: Release, *, needs_image: bool):
        self.pipeline, self.release, self.needs_image = pipeline, release, needs_image
        pipeline.set_progress_bar_config(disable=True)

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        """uint8 [F, H, W, 3]. Raises `CheckpointError` where no clip of the model is as long as the chunk."""
        release, seconds = self.release, (wish.num_frames - 1) / wish.fps
        count = release.frames_for(seconds)
        if count is None:
            said = (
                f"{release.pipeline} makes {release.frames / release.fps:.2g} s, and a first chunk has {seconds:.2g} s."
            )
            raise CheckpointError(said)
        size = release.size_for(Size(wish.width, wish.height))
        steps, scale = wish.steps or release.steps, wish.guidance_scale or release.guidance_scale
        asked = {
            **release.call(size, count, steps, scale, release.fps),
            "prompt": wish.prompt,
            "negative_prompt": wish.negative_prompt or release.negative_prompt or None,
            "generator": apart.grain(self.pipeline, release, seed=wish.seed, stage=STAGE, index=wish.index),
        }
        place = slice(None), slice(None)
        if self.needs_image:
            canvas, place = wish.framed(size.height, size.width)
            asked["image"] = apart.picture(canvas)
        frames = apart.call(self.pipeline, asked, on_step).frames
        shown = [round(index * release.fps / wish.fps) for index in range(wish.num_frames)]
        return pixels.fit(frames[shown][:, *place], wish.height, wish.width)


def load_text(folder: str, **options: Any) -> Released:
    """A model that draws from text alone."""
    return _load(folder, TEXTS, needs_image=False, **options)


def load_pictures(folder: str, **options: Any) -> Released:
    """One that draws from a picture."""
    return _load(folder, PICTURES, needs_image=True, **options)


def _load(folder: str, table: Sequence[Release], *, needs_image: bool, dtype: torch.dtype, **options: Any) -> Released:
    """These networks were trained in bfloat16, of which half precision holds too little; their VAEs need all of it."""
    if dtype == torch.float16:
        options["dtype"] = {"default": torch.bfloat16} | dict.fromkeys(VAES, torch.float32)
    pipeline = DiffusionPipeline.from_pretrained(folder, **{"dtype": dtype, **options})
    parts = {name: part.config for name, part in pipeline.components.items() if _is_told(part)}
    index = {**pipeline.config, "_class_name": type(pipeline).__name__}
    if (release := find(table, Facts(index, parts))) is None:
        there = listed(dict.fromkeys(release.pipeline for release in table))
        raise CheckpointError(f"{folder} is a {type(pipeline).__name__}; there is {there}.")
    return Released(pipeline, release, needs_image=needs_image)


def _is_told(part: Any) -> bool:
    """Whether it is a network of diffusers, whose configuration is a mapping."""
    return isinstance(part, nn.Module) and isinstance(part.config, dict)
