"""Text2Video-Zero (arXiv 2303.13439) as the source of first chunks: any Stable Diffusion, without training or adapter.

Owns how it is asked; how it draws is `models.text2video_zero`'s. Knows nothing of StreamingT2V.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models import pixels
from models.first_chunk.source import Wish
from models.streaming_t2v.sampler import OnStep
from models.text2video_zero import parts
from models.text2video_zero.options import STEPS, Options
from models.text2video_zero.pipeline import Text2VideoZero

SAMPLING = "text2video_zero.json"


class Text2VideoZeroSource:
    """Draws at the size that the network was trained at, and hands the frames over in the size wished for.

    options: motion, T', T, frames at once and smoothing; steps and guidance are the wish's. Moving frames needs two
    noise levels, so a single step is taken for two; more than 100 are taken for 100.
    """

    needs_image = False

    def __init__(self, pipeline: Any, options: Options | None = None):
        self.pipeline, self.options = pipeline, options or Options()

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        """uint8 [F, H, W, 3]. on_step counts looks of the network, of which there are more than `wish.steps`."""
        made = self.shot(wish).generate(wish.prompt, wish.negative_prompt, num_frames=wish.num_frames, on_step=on_step)
        return pixels.fit(np.concatenate(list(made)), wish.height, wish.width)

    def shot(self, wish: Wish) -> Text2VideoZero:
        """What draws the video that is wished for, a part at a time."""
        steps = min(max(wish.steps, STEPS[0]), STEPS[1])
        options = replace(self.options, steps=steps, guidance_scale=wish.guidance_scale)
        if wish.motion is not None:
            options = replace(options, motion=wish.motion)
        height, width = wish.near(self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor)
        return Text2VideoZero(self.pipeline, options, height=height, width=width, seed=wish.seed)


def load(folder: str, **options: Any) -> Text2VideoZeroSource:
    """From a folder of Stable Diffusion 1.x in diffusers layout; `options` are those of `from_pretrained`.

    A file SAMPLING in it says how frames are sampled where that is not as published: fields of `Options`, as JSON.
    """
    file = Path(folder) / SAMPLING
    chosen = json.loads(file.read_text()) if file.is_file() else {}
    return Text2VideoZeroSource(parts.load(folder, **options), Options(**chosen))
