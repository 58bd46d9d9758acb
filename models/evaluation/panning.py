"""Does the content of a Text2Video-Zero video move as its camera was asked to?

Measured by the tracker of the shapes world. Knows nothing of how the video was made.
"""

from __future__ import annotations

import numpy as np
import torch

from models.shapes import tracker
from models.text2video_zero.motion import CANVAS


def content_motion(frames: np.ndarray) -> tuple[float, float]:  # uint8 [F, H, W, 3], H = W
    """Mean step of the actor per frame, by least squares, in 1/512 of the frame like `Options.motion`."""
    x, y = tracker.track(torch.from_numpy(frames)).step(range(len(frames)))
    return CANVAS * x, CANVAS * y


def share_of_asked(frames: np.ndarray, motion: tuple[float, float]) -> float:
    """How far the content moved in the asked direction, as a share of how far it was asked to; 1 is exact.

    motion: `Options.motion`, of the camera, so that the content is to move by its negative. Raises ValueError for a
    camera that stands still.
    """
    asked = -motion[0], -motion[1]
    squared = asked[0] ** 2 + asked[1] ** 2
    if not squared:
        raise ValueError("A camera that stands still asks for no motion.")
    x, y = content_motion(frames)
    return (x * asked[0] + y * asked[1]) / squared
