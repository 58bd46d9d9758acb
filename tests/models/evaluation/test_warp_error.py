"""MAWE and what it is made of, on clips whose flow and error are known."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation import mawe
from models.evaluation.flow import FlowMethod, dis, visible, warp
from models.evaluation.gauge import measure
from models.evaluation.mawe import WarpError
from tests.models.evaluation.conftest import pan, texture


def known(x: float, y: float, name: str = "known") -> FlowMethod:
    """Forward and back in turns, as the gauge asks."""
    signs = iter([1, -1] * 100)
    return FlowMethod(name, lambda left, right: np.full((*left.shape[:2], 2), (x, y), np.float32) * next(signs))


def test_a_pure_translation_has_no_warp_error_and_its_squared_step_as_flow():
    figures = measure(pan(1, 3), WarpError(known(5, 3)))
    assert figures["ofs_known"] == pytest.approx(5**2 + 3**2)
    assert figures["warp_error_known"] == 0
    assert figures["mawe_known"] == 0
    assert figures["flow_std_known"] == pytest.approx(0, abs=1e-3)


def test_mawe_is_the_summed_square_over_c_times_the_squared_flow():
    frames = pan(1, 2)
    frames[1] += np.array([3, 0, 4], np.uint8)  # 9 + 16 a pixel, whatever moves
    assert mawe.mawe(frames, known(5, 3)) == pytest.approx(25 / (9.5 * 34))


def test_the_ratio_is_taken_of_the_means_of_the_video_not_of_its_pairs():
    moving, changed = pan(2, 2, step=(6, 0)), pan(2, 2, step=(6, 0))[1] + np.uint8(2)
    steps = iter([6, -6, 0, 0])
    flow = FlowMethod("known", lambda left, right: np.full((720, 720, 2), (next(steps), 0), np.float32))
    assert mawe.mawe([*moving, changed], flow) == pytest.approx(((0 + 3 * 4) / 2) / (9.5 * (36 + 0) / 2))


@pytest.mark.parametrize("side", [180, 720, 1080])
def test_flow_is_measured_in_pixels_at_720(side: int):
    step = side // 180
    figures = measure(pan(3, 3, side, (2 * step, step)), WarpError(dis()))
    assert figures["ofs_dis"] == pytest.approx(8**2 + 4**2, rel=0.05)


def test_dis_finds_a_translation():
    figures = measure(pan(4, 3), WarpError())
    still = measure(pan(4, 3), WarpError(known(0, 0)))
    assert figures["ofs_dis"] == pytest.approx(34, rel=0.02)
    assert figures["warp_error_dis"] < 0.02 * still["warp_error_known"]
    assert figures["flow_std_dis"] < 0.5


def test_what_a_moving_square_covers_is_left_out():
    ground, square = texture(5, 720), texture(6, 720)[:100, :100]
    left, right = ground.copy(), ground.copy()
    left[300:400, 200:300], right[300:400, 240:340] = square, square
    forward, backward = np.zeros((2, 720, 720, 2), np.float32)
    forward[300:400, 200:300], backward[300:400, 240:340] = (40, 0), (-40, 0)
    seen = visible(forward, backward)
    covered = np.zeros((720, 720), bool)
    covered[300:400, 300:340] = True
    assert np.array_equal(seen, ~covered)
    error = np.abs(warp(right, forward) - left).sum(-1)
    assert error[seen].max() == 0 < error[covered].max()


def test_what_leaves_the_picture_is_left_out():
    right = np.full((64, 64, 2), (10, 0), np.float32)
    assert np.array_equal(visible(right, -right), np.tile(np.arange(64) < 54, (64, 1)))


def test_spread_of_flow_is_over_all_pixels_of_all_pairs():
    halves = np.zeros((720, 720, 2), np.float32)
    halves[:360, :, 0], halves[360:, :, 1] = 2, 6
    flow = FlowMethod("known", lambda left, right: halves)
    assert mawe.flow_std(pan(1, 3), flow) == pytest.approx(2)  # half the pixels at 2, half at 6


@pytest.mark.parametrize("frames", [np.zeros((4, 64, 64, 3), np.uint8), np.stack([texture(7, 64)] * 4)])
def test_a_static_clip_has_no_mawe_and_no_nan(frames: np.ndarray):
    figures = measure(frames, WarpError())
    assert figures.pop("mawe_dis") is None
    assert np.isfinite(list(figures.values())).all()
    assert figures["ofs_dis"] < mawe.STILL


def test_one_frame_has_none_of_the_figures():
    assert set(measure(pan(1, 1), WarpError()).values()) == {None}


def test_only_raft_gives_the_plain_name():
    assert "mawe" in measure(pan(1, 2), WarpError(known(5, 3, "raft")))
    assert "mawe" not in measure(pan(1, 2), WarpError(dis()))
