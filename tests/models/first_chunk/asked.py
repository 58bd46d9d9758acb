"""What every source of first chunks is asked for in its tests."""

from __future__ import annotations

import numpy as np

from models.first_chunk.source import Wish
from models.request import VideoRequest

PICTURE = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
REQUEST = VideoRequest(
    prompt="a red circle moving right on a black background", num_frames=24, seed=5, steps=1, guidance_scale=2.0,
    anchor_guidance_scale=2.0,
)  # fmt: skip
WISH = Wish(
    prompt="a horse", negative_prompt="", image=PICTURE, num_frames=16, height=64, width=64, seed=1, steps=2,
    guidance_scale=7.5,
)  # fmt: skip
