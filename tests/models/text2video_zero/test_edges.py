"""Edges are thin lines around what differs, and nothing else."""

from __future__ import annotations

import numpy as np

from models.text2video_zero.edges import THRESHOLD, edges


def square(level: int) -> np.ndarray:
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[1, 8:24, 8:24, 1] = level
    return frames


def test_a_square_becomes_its_outline():
    white = edges(square(255))
    assert white.shape == (2, 32, 32, 3) and not white[0].any()
    assert (white[1, ..., 0] > 0).sum() == 4 * 16 - 1  # the last pixels before and inside it; one corner is both
    assert not white[1, 9:22, 9:22].any()


def test_what_hardly_differs_is_no_edge():
    assert not edges(square(THRESHOLD)).any()
    assert edges(square(THRESHOLD + 1)).any()
