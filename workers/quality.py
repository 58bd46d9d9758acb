"""The figures that every finished video carries: those that need no weights and little time.

Read off small pictures of the finished file in one pass. A video that cannot be measured is a video all the same: it
has no figures then. What each of them means stands in docs/evaluation.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from workers import media

log = logging.getLogger(__name__)

LONGEST_SIDE = 256  # pixels; scene cuts are looked for at that size anyway
LIMIT_S = 60.0  # a unit is seconds, not minutes


def measure(video: Path, chunk_starts: Container[int]) -> dict[str, float | None] | None:
    """Scene cuts, seam ratio, flicker and drift of a finished file; None where measuring fails or takes too long.

    chunk_starts: frames at which something made by itself begins, the first frame left out.
    """
    try:
        from models.evaluation import cuts, difference, drift, gauge

        gauges = cuts.SceneCuts(), difference.Differences(chunk_starts), drift.Drift()
        figures = gauge.measure(_in_time(media.frames(video, longest_side=LONGEST_SIDE)), *gauges)
    except Exception:
        log.warning("video not measured", exc_info=True)
        return None
    return {name: value if value is None else round(value, 4) for name, value in figures.items()}


def _in_time(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    until = time.monotonic() + LIMIT_S
    for frame in frames:
        if time.monotonic() > until:
            raise TimeoutError(f"Measuring took more than {LIMIT_S:g} s.")
        yield frame
