"""The paper's X-T slice: one row of every frame, time downwards. A cut is a break in it, a jump at a seam a notch."""

from __future__ import annotations

import numpy as np
from PIL import Image

from models.evaluation.gauge import Figures, Frame

WIDTH, HEIGHT = 720, 4096  # pixels; a smaller slice is enlarged as far as it fits


class XTSlice:
    """Gauge without a figure: collects the row at `height`, 0 (top) to 1 (bottom)."""

    def __init__(self, height: float = 0.5):
        self._height = height
        self._rows: list[np.ndarray] = []

    def see(self, frame: Frame) -> None:
        self._rows.append(frame[min(int(self._height * len(frame)), len(frame) - 1)].copy())

    def figures(self) -> Figures:
        return {}

    def picture(self) -> Image.Image:
        """The slice, [F, W] pixels times a whole number, each pixel square and sharp."""
        rows = np.stack(self._rows)
        times = max(1, min(WIDTH // rows.shape[1], HEIGHT // len(rows)))
        return Image.fromarray(rows.repeat(times, 0).repeat(times, 1))
