"""Stable Video Diffusion (arXiv 2311.15127) as the source of first chunks: a picture that begins to move.

Owns how it is asked; the pipeline is diffusers'. Reads no text. Knows nothing of StreamingT2V.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

from models import noise
from models.first_chunk.source import Wish, after_each_step, quantized
from models.model import CheckpointError
from models.streaming_t2v.sampler import OnStep

WIDTH, HEIGHT = 1024, 576  # what it was trained at


class StableVideoDiffusion:
    """Draws on a canvas of the trained size: the picture in the middle, black around it, as published.

    It makes as many frames as it was trained for, of which the first are kept.
    """

    needs_image = True

    def __init__(self, pipeline: Any, *, height: int = HEIGHT, width: int = WIDTH):
        self.pipeline, self._height, self._width = pipeline, height, width
        pipeline.set_progress_bar_config(disable=True)

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        pipeline = self.pipeline
        frames = pipeline.unet.config.num_frames
        if frames < wish.num_frames:
            raise CheckpointError(f"This Stable Video Diffusion makes {frames} frames; {wish.num_frames} are needed.")
        canvas, (rows, columns) = wish.framed(self._height, self._width)
        channels, factor = pipeline.unet.config.out_channels, pipeline.vae_scale_factor
        latents = wish.noise(1, frames, channels, self._height // factor, self._width // factor)
        made = pipeline(
            Image.fromarray(canvas),
            height=self._height,
            width=self._width,
            num_frames=frames,
            num_inference_steps=wish.steps,
            latents=latents.to(pipeline.dtype),
            generator=noise.generator(seed=wish.seed, stage="first-chunk-picture", index=0),
            output_type="np",
            decode_chunk_size=8,
            callback_on_step_end=after_each_step(on_step, wish.steps),
        )
        return quantized(made.frames[0][:, rows, columns], wish)


def load(folder: str, **options: Any) -> StableVideoDiffusion:
    return StableVideoDiffusion(StableVideoDiffusionPipeline.from_pretrained(folder, **options))
