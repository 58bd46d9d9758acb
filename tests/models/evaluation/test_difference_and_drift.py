"""Flicker, seam ratio and drift against their formulas, and against clips whose value is plain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.evaluation.difference import flicker, seam_ratio
from models.evaluation.drift import Drift, drift, palette
from models.evaluation.gauge import measure

CLIPS = arrays.arrays(np.uint8, st.tuples(st.integers(2, 40), st.just(4), st.just(6), st.just(3)))


def levels(*greys: int) -> np.ndarray:
    return np.stack([np.full((4, 6, 3), grey, np.uint8) for grey in greys])


def test_flicker_is_the_mean_step_of_a_full_scale():
    assert flicker(levels(0, 51, 0)) == pytest.approx(0.2)
    assert flicker(levels(7, 7, 7)) == 0
    assert flicker(levels(0, 255)) == 1
    assert flicker(levels(9)) is None


def test_the_seam_ratio_compares_boundaries_with_what_is_inside():
    assert seam_ratio(levels(0, 2, 4, 10, 12, 14, 20), [3, 6]) == pytest.approx(3)
    assert seam_ratio(levels(0, 2, 4, 6), [2]) == pytest.approx(1)


def test_a_video_without_a_boundary_or_without_an_inside_has_no_seam_ratio():
    assert seam_ratio(levels(0, 2, 4), []) is None
    assert seam_ratio(levels(0, 2, 4), [8]) is None
    assert seam_ratio(levels(0, 2), [1]) is None
    assert seam_ratio(levels(0), [1]) is None


def test_a_still_video_is_seamless_and_one_that_jumps_at_its_seams_is_not():
    assert seam_ratio(levels(5, 5, 5, 5), [2]) == 1
    assert seam_ratio(levels(5, 5, 9, 9), [2]) == pytest.approx(400)


@given(CLIPS, st.sets(st.integers(1, 39)))
@settings(max_examples=50, deadline=None)
def test_frame_by_frame_gives_what_the_formulas_give(clip: np.ndarray, starts: set[int]):
    steps = np.abs(np.diff(clip.astype(float), axis=0)).mean((1, 2, 3))
    assert flicker(iter(clip)) == pytest.approx(steps.mean() / 255)
    at_seam = [i + 1 in starts for i in range(len(steps))]
    inside = steps[~np.array(at_seam)]
    if any(at_seam) and len(inside) and inside.mean() > 1:
        assert seam_ratio(iter(clip), starts) == pytest.approx(steps[at_seam].mean() / inside.mean())


def test_drift_is_the_share_of_pixels_whose_colour_changed():
    clip = np.concatenate([levels(*[0] * 16), levels(*[0] * 20), levels(*[0] * 16)])
    clip[-16:, :, :3] = 255
    assert drift(clip) == pytest.approx(0.5)
    clip[-16:, :, 3:] = 128
    assert drift(clip) == pytest.approx(1)


@given(CLIPS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_drift_does_not_ask_where_a_colour_is(clip: np.ndarray, rng):
    places = list(range(24))
    rng.shuffle(places)
    moved = clip.reshape(len(clip), 24, 3)[:, places].reshape(clip.shape)
    assert drift(moved) == pytest.approx(drift(clip))
    assert 0 <= drift(clip) <= 1 + 1e-6


@given(arrays.arrays(np.uint8, (4, 6, 3)))
@settings(max_examples=30, deadline=None)
def test_a_palette_is_a_histogram_of_colours(frame: np.ndarray):
    counts, _ = np.histogramdd(frame.reshape(-1, 3), bins=[np.arange(0, 257, 32)] * 3)
    assert palette(frame) == pytest.approx(counts.ravel() / 24)


def test_the_curve_of_drift_rises_where_the_colours_change():
    clip = levels(*[0] * 20, *[255] * 5)
    measure(clip, gauge := Drift())
    assert gauge.curve() == pytest.approx([0] * 20 + [1] * 5)
