"""Edge maps as control frames: white where neighbouring pixels differ, black elsewhere.

A simpler rule than the published Canny: exact, without thresholds on the strength of a whole line, and meant for drawn
frames, where an edge is an edge. What a ControlNet was trained with is what it must be shown.
"""

from __future__ import annotations

import numpy as np

THRESHOLD = 26  # of 255, in the channel that differs most


def edges(frames: np.ndarray) -> np.ndarray:  # uint8 [F, H, W, 3]
    """Control frames of the same size, uint8 [F, H, W, 3]: a pixel is white where it differs from the pixel to its
    right or below by more than `THRESHOLD`."""
    levels = frames.astype(np.int16)
    across = np.abs(np.diff(levels, axis=2, append=levels[:, :, -1:])).max(-1)
    down = np.abs(np.diff(levels, axis=1, append=levels[:, -1:])).max(-1)
    white = np.maximum(across, down) > THRESHOLD
    return np.repeat(np.where(white, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
