"""SCuts of the paper: how many hard cuts a take has that should have none.

PySceneDetect's AdaptiveDetector with its default parameters, fed as its own SceneManager feeds it. The one default that
its command line has otherwise is the shortest scene: 15 frames here, 0.6 s there (which is the same at 25 fps).
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from scenedetect.common import FrameTimecode
from scenedetect.detectors import AdaptiveDetector
from scenedetect.scene_manager import compute_downscale_factor

from models.evaluation.gauge import Figures, Frame, measure

ANY_RATE = 25.0  # a frame number needs a rate to be a timecode; no default parameter is in seconds


class SceneCuts:
    """Gauge of `scene_cuts`; `cuts` has the first frame of every new scene."""

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._detector, self._seen = AdaptiveDetector(), 0

    def see(self, frame: Frame) -> None:
        at = FrameTimecode(self._seen, fps=ANY_RATE)
        self.cuts += [cut.frame_num for cut in self._detector.process_frame(at, _shrunk(frame)[..., ::-1])]
        self._seen += 1

    def figures(self) -> Figures:
        return {"scene_cuts": len(self.cuts)}


def scene_cuts(frames: Iterable[Frame]) -> list[int]:
    """The frames at which new scenes begin; their number is the paper's SCuts. 0 is what a long take has."""
    measure(frames, gauge := SceneCuts())
    return gauge.cuts


def _shrunk(frame: Frame) -> np.ndarray:
    """As the SceneManager does before it detects: the longer side becomes 256 pixels where it is more."""
    height, width, _ = frame.shape
    factor = compute_downscale_factor(max(height, width))
    size = max(1, round(width / factor)), max(1, round(height / factor))
    return cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) if factor > 1 else frame
