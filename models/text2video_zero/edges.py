"""Edge maps as control frames: Canny's, as the published ControlNets for edges were trained with.

Source: ControlNet (arXiv 2302.05543) section 4; Text2Video-Zero's own thresholds. What a ControlNet was trained with is
what it must be shown.
"""

from __future__ import annotations

import cv2
import numpy as np

LOW, HIGH = 100, 200  # gradients that go on with an edge, and that begin one


def edges(frames: np.ndarray) -> np.ndarray:  # uint8 [F, H, W, 3]
    """Control frames of the same size, uint8 [F, H, W, 3]: white along the edges of any channel, else black."""
    lines = np.stack([cv2.Canny(np.ascontiguousarray(frame), LOW, HIGH) for frame in frames])
    return np.repeat(lines[..., None], 3, axis=-1)
