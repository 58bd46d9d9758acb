"""InstructPix2Pix (arXiv 2211.09800) for `models.streamers.edit`: it changes frames that are there, and draws none.

Owns how its weights are loaded, beside those of the systems that draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.first_chunk.source import Wish
from models.streaming_t2v.sampler import OnStep
from models.text2video_zero import parts


class InstructPix2Pix:
    """Holds the parts: `models.text2video_zero.parts.load`'s with `shown`."""

    needs_image = False

    def __init__(self, pipeline: Any):
        self.pipeline = pipeline

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        raise ValueError("InstructPix2Pix changes a clip, and draws none.")


def load(folder: str, **options: Any) -> InstructPix2Pix:
    """From a folder of InstructPix2Pix in diffusers layout; `options` are those of `from_pretrained`."""
    return InstructPix2Pix(parts.load(folder, shown=True, **options))
