"""Edges are thin lines around what differs, in whatever channel, and nothing else."""

from __future__ import annotations

import numpy as np

from models.text2video_zero.edges import edges


def square(level: int, ground: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    frames = np.zeros((2, 32, 32, 3), np.uint8) + np.array(ground, np.uint8)
    frames[1, 8:24, 8:24, 1] = level
    return frames


def test_a_square_becomes_its_outline():
    white = edges(square(255))
    assert white.shape == (2, 32, 32, 3) and white.dtype == np.uint8
    assert not white[0].any() and set(np.unique(white)) == {0, 255}
    assert 50 <= (white[1, ..., 0] > 0).sum() <= 4 * 16
    assert not white[1, 10:22, 10:22].any() and not white[1, :6].any()
    assert (white == white[..., :1]).all()


def test_equally_light_colours_have_an_edge_between_them():
    """Red on green of the same grey."""
    frames = square(0, ground=(0, 76, 0))
    frames[1, 8:24, 8:24, 0] = 149
    assert edges(frames)[1].any()


def test_what_hardly_differs_is_no_edge():
    assert not edges(square(12)).any()
