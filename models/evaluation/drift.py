"""How far a video's colours wander from where it began."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.evaluation.gauge import Figures, Frame, measure

ENDS = 16  # frames taken together at either end
BINS = 8  # a colour channel


class Drift:
    """Gauge of `drift`; `curve` has it frame by frame."""

    def __init__(self) -> None:
        self._palettes: list[np.ndarray] = []

    def see(self, frame: Frame) -> None:
        self._palettes.append(palette(frame))

    def figures(self) -> Figures:
        return {"drift": _distance(self._palettes[:ENDS], self._palettes[-ENDS:]) if self._palettes else None}

    def curve(self) -> np.ndarray:
        """Distance of every frame from the first 16 together, 0 to 1; [F]."""
        return np.array([_distance(self._palettes[:ENDS], [one]) for one in self._palettes])


def palette(frame: Frame) -> np.ndarray:
    """Share of a frame's pixels in each of 8 x 8 x 8 colours; float32 [512]."""
    red, green, blue = np.moveaxis(frame // (256 // BINS), -1, 0).astype(np.intp)
    return (np.bincount(((red * BINS + green) * BINS + blue).ravel(), minlength=BINS**3) / red.size).astype(np.float32)


def drift(frames: Iterable[Frame]) -> float | None:
    """Total variation between the colour histograms of the first and the last 16 frames: 0 (the same) to 1.

    Blind to where a colour is, so motion alone drifts nowhere; an object that leaves does. Our own figure.
    """
    return measure(frames, Drift())["drift"]


def _distance(some: list[np.ndarray], others: list[np.ndarray]) -> float:
    return float(np.abs(np.mean(some, 0) - np.mean(others, 0)).sum() / 2)
