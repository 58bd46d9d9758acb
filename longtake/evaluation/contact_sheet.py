"""A contact sheet: videos as rows of small frames under their prompts.

Owns the picture's layout; the recipe makes the frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from models.model import Model
from models.recipe import Recipe
from models.request import default_request

ROW_CAPTION = 14  # pixels


def contact_sheet(pipeline: Any, model: Model, prompts: list[str], num_frames: int, every: int) -> Image.Image:
    """Refined videos of `prompts`, every so-many-th frame at half size; seeds count from 0."""
    rows = []
    for seed, prompt in enumerate(prompts):
        request = default_request(model, prompt, num_frames=num_frames, seed=seed, refine=True)
        made = [result.frames for unit, result in Recipe(pipeline, model, request).generate() if unit.stage == "refine"]
        small = [
            Image.fromarray(frame).resize((64, 64), Image.Resampling.LANCZOS) for frame in np.concatenate(made)[::every]
        ]
        rows.append(titled(prompt, np.concatenate([np.asarray(picture) for picture in small], axis=1)))
    return Image.fromarray(np.concatenate(rows))


def titled(title: str, strip: np.ndarray) -> np.ndarray:
    """A picture, uint8 [H, W, 3], under its title."""
    above = Image.new("RGB", (strip.shape[1], ROW_CAPTION), "white")
    ImageDraw.Draw(above).text((2, 1), title, fill="black")
    return np.concatenate([np.asarray(above), strip])
