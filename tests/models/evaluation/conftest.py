"""Clips whose figures are known by hand."""

from __future__ import annotations

import cv2
import numpy as np


def texture(seed: int, side: int = 900) -> np.ndarray:
    """Smooth random colours without a flat spot, uint8 [side, side, 3]: flow can be told everywhere."""
    coarse = np.random.default_rng(seed).integers(30, 226, (side // 8, side // 8, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)


def pan(seed: int, num_frames: int, side: int = 720, step: tuple[int, int] = (5, 3)) -> np.ndarray:
    """A texture that moves by `step` (x, y) pixels a frame, exactly; [F, side, side, 3]."""
    whole = texture(seed, side + num_frames * max(step))
    starts = [((num_frames - i) * step[0], (num_frames - i) * step[1]) for i in range(num_frames)]
    return np.stack([whole[y : y + side, x : x + side] for x, y in starts])


def scene(colour: tuple[int, int, int], num_frames: int, side: int = 96) -> np.ndarray:
    """A faint texture on a colour, in slow motion: one take, unlike another of a different colour."""
    return np.array(colour, np.uint8) + pan(sum(colour), num_frames, side, (1, 0)) // 16
