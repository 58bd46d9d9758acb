"""One pass over a video: every frame is shown to every gauge, and only what a figure needs is kept.

So a video of any length is measured in bounded memory. The modules beside this one hold a gauge each, and its figures
as functions of frames: an array [F, H, W, 3], or whatever yields frames one by one. Knows no files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

Frame = np.ndarray  # uint8 [H, W, 3], RGB
Figures = dict[str, float | None]  # None: the video has nothing that this figure could be read from


class Gauge(Protocol):
    """Sees the frames of one video in their order, then says what it read."""

    def see(self, frame: Frame) -> None: ...

    def figures(self) -> Figures: ...


def measure(frames: Iterable[Frame], *gauges: Gauge) -> Figures:
    """The figures of all gauges after one pass over the frames."""
    for frame in frames:
        for gauge in gauges:
            gauge.see(frame)
    return {name: value for gauge in gauges for name, value in gauge.figures().items()}
