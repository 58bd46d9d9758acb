"""AnimateDiff (arXiv 2307.04725) as the source of first chunks: a Stable Diffusion model that moves.

Owns how it is asked; the pipeline is diffusers'. Knows nothing of StreamingT2V.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import AnimateDiffPipeline, MotionAdapter
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from models.first_chunk.source import Wish, after_each_step, quantized
from models.model import CheckpointError
from models.streaming_t2v.sampler import OnStep

NEGATIVE_PROMPT = "bad quality, worse quality"  # as published, where the request has none
#: The schedule that its motion modules were trained with, which is not that of Stable Diffusion.
SCHEDULE = {"beta_schedule": "linear", "clip_sample": False, "timestep_spacing": "linspace", "steps_offset": 1}
ADAPTER = "motion_adapter"


class AnimateDiff:
    """Draws at the size that the network was trained at, and hands the frames over in the size wished for."""

    needs_image = False

    def __init__(self, pipeline: Any):
        self.pipeline = pipeline
        pipeline.set_progress_bar_config(disable=True)

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        pipeline = self.pipeline
        height, width = wish.near(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)
        factor = pipeline.vae_scale_factor
        channels = pipeline.unet.config.in_channels
        latents = wish.noise(1, channels, wish.num_frames, height // factor, width // factor)
        made = pipeline(
            wish.prompt,
            negative_prompt=wish.negative_prompt or NEGATIVE_PROMPT,
            num_frames=wish.num_frames,
            height=height,
            width=width,
            num_inference_steps=wish.steps,
            guidance_scale=wish.guidance_scale,
            latents=latents.to(pipeline.dtype),
            output_type="np",
            decode_chunk_size=8,
            callback_on_step_end=after_each_step(on_step, wish.steps),
        )
        return quantized(made.frames[0], wish)


def load(folder: str, **options: Any) -> AnimateDiff:
    """From AnimateDiff's own folder, or from one of Stable Diffusion 1.5 with the motion adapter's folder in it."""
    adapter, index = Path(folder) / ADAPTER, Path(folder) / "model_index.json"
    kind = json.loads(index.read_text())["_class_name"] if index.is_file() else AnimateDiffPipeline.__name__
    if kind != AnimateDiffPipeline.__name__:
        if not adapter.is_dir():
            raise CheckpointError(f"{folder} is a {kind}: put the folder of a motion adapter in it as '{ADAPTER}'.")
        motion = MotionAdapter.from_pretrained(adapter, dtype=options.get("dtype"))
        schedule = DDIMScheduler.from_pretrained(Path(folder) / "scheduler", **SCHEDULE)
        options |= {"motion_adapter": motion, "scheduler": schedule}
    # Neither is of use here, and the classes that old folders name for them are no more.
    return AnimateDiff(
        AnimateDiffPipeline.from_pretrained(folder, feature_extractor=None, image_encoder=None, **options)
    )
