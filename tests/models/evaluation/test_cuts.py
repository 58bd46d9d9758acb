"""Scene cuts of constructed clips; that they are those of the command line is tested with files (tests/longtake)."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.cuts import scene_cuts
from tests.models.evaluation.conftest import scene, texture

RED, BLUE = (160, 40, 40), (20, 60, 160)


def test_a_cut_is_one_cut_at_its_frame():
    frames = np.concatenate([scene(RED, 24), scene(BLUE, 24)])
    assert scene_cuts(frames) == [24]


def test_a_take_without_a_cut_has_none():
    assert scene_cuts(scene(RED, 48)) == []
    assert scene_cuts(np.stack([texture(1, 64)] * 48)) == []
    assert scene_cuts(texture(1, 64)[None]) == []


@pytest.mark.parametrize(("between", "cuts"), [(14, [20]), (15, [20, 35])])
def test_a_scene_has_at_least_fifteen_frames(between: int, cuts: list[int]):
    assert scene_cuts(np.concatenate([scene(RED, 20), scene(BLUE, between), scene(RED, 20)])) == cuts


def test_a_large_video_is_judged_when_it_is_shrunk():
    board = np.indices((256, 256)).sum(0)[..., None] % 2 * np.full(3, 255, np.uint8)
    frames = np.stack([board] * 20 + [255 - board] * 20).astype(np.uint8)
    assert scene_cuts(frames) == [20]
    assert scene_cuts(np.tile(frames, (1, 2, 2, 1))) == []  # at half its size either board is an even grey


def test_red_is_red():
    """OpenCV's hue jumps from 179 to 0 within the reds; read as blues, these two would look the same."""
    assert scene_cuts(np.concatenate([scene((200, 40, 60), 20), scene((200, 60, 40), 20)])) == [20]
