"""How much neighbouring frames differ: temporal flicker, and whether chunk boundaries show."""

from __future__ import annotations

from collections.abc import Container, Iterable

import numpy as np

from models.evaluation.gauge import Figures, Frame, measure

UNSEEN = 0.01  # grey levels; smaller mean differences count as none


class Differences:
    """Gauge of `flicker` and, where chunk starts are given, of `seam_ratio`."""

    def __init__(self, chunk_starts: Container[int] | None = None):
        self.steps: list[float] = []  # mean absolute difference in grey levels; steps[i] leads to frame i + 1
        self._chunk_starts = chunk_starts
        self._before: Frame | None = None

    def see(self, frame: Frame) -> None:
        if self._before is not None:
            self.steps.append(float((np.maximum(frame, self._before) - np.minimum(frame, self._before)).mean()))
        self._before = frame

    def figures(self) -> Figures:
        figures: Figures = {"flicker": float(np.mean(self.steps)) / 255 if self.steps else None}
        if self._chunk_starts is not None:
            figures["seam_ratio"] = self._seam_ratio(self._chunk_starts)
        return figures

    def _seam_ratio(self, chunk_starts: Container[int]) -> float | None:
        steps = np.array(self.steps)
        at_seam = np.array([frame in chunk_starts for frame in range(1, len(steps) + 1)], bool)
        if at_seam.all() or not at_seam.any():
            return None
        seam, inside = steps[at_seam].mean(), steps[~at_seam].mean()
        return float(seam / max(inside, UNSEEN)) if max(seam, inside) > UNSEEN else 1.0


def flicker(frames: Iterable[Frame]) -> float | None:
    """Mean absolute difference of neighbouring frames, 0 (still) to 1; None below two frames.

    VBench's temporal_flickering is 1 - flicker (2311.17982). It is meant for scenes at rest: motion counts as flicker.
    """
    return measure(frames, Differences())["flicker"]


def seam_ratio(frames: Iterable[Frame], chunk_starts: Container[int]) -> float | None:
    """Mean difference of neighbouring frames across chunk boundaries, over that inside chunks (1: seamless).

    chunk_starts: the first frames of all chunks but the first. None where there is no boundary, or nothing else. 1
    where nothing changes anywhere; a video that changes at its boundaries alone has a large but finite ratio. Our own
    figure.
    """
    return measure(frames, Differences(chunk_starts))["seam_ratio"]
