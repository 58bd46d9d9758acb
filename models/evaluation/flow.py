"""Optical flow: where every pixel of a frame is in the next one, and which pixels cannot be found there.

Any method can be plugged in, under its name: figures that rest on flow carry it, because they are not comparable
across methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

RAFT = "raft"  # the published script's method, and the only one whose name a figure leaves out


@dataclass(frozen=True, slots=True)
class FlowMethod:
    """estimate(left, right): frames uint8 [H, W, 3] -> float32 [H, W, 2], (x, y) in pixels.

    left at (x, y) shows what right shows at (x, y) + flow.
    """

    name: str
    estimate: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def named(self, figure: str) -> str:
        """'mawe' -> 'mawe_dis'; the plain name is RAFT's alone."""
        return figure if self.name == RAFT else f"{figure}_{self.name}"


def dis() -> FlowMethod:
    """Dense inverse search (1603.03590) on luma, OpenCV's medium preset: no weights, and runs on a CPU."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def estimate(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        luma = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (left, right)]
        return search.calc(*luma, None)  # type: ignore[call-overload]  # None: from no flow, as its stub does not know

    return FlowMethod("dis", estimate)


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The picture [H, W, C] read, bilinearly, where the flow leads; float32. Places outside repeat the border."""
    x, y = _led(flow)
    return cv2.remap(picture.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def visible(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Pixels of the left frame that are seen in the right one too; bool [H, W].

    Following the flow there and back must lead home: |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5, with b read where f leads
    (Sundaram et al. 2010, as in Lai et al. 2018, 1808.00449). What leaves the picture is not seen.
    """
    x, y = _led(forward)
    height, width = x.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    back = warp(backward, forward)
    home = np.square(forward + back).sum(-1)
    return inside & (home <= 0.01 * (np.square(forward).sum(-1) + np.square(back).sum(-1)) + 0.5)


def _led(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the flow leads from every pixel: x [H, W] and y [H, W]."""
    height, width, _ = flow.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return x + flow[..., 0], y + flow[..., 1]
