"""Frames at twice their size: each from its own alone, and what stands still stays still to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from diffusers import DDIMScheduler

from models.make_a_video.upscaling import TWICE, Upscaler
from tests.support import make_a_video

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Any:
    return make_a_video.enlarger()


def upscaler(network: Any, seed: int = 1) -> Upscaler:
    return Upscaler(network, DDIMScheduler(prediction_type="v_prediction", clip_sample=False), TWICE, seed=seed)


def test_every_frame_is_made_larger_and_can_be_made_alone(network: Any) -> None:
    made = upscaler(network).run(FRAMES)
    assert made.shape == (5, 32, 48, 3) and made.dtype == np.uint8
    assert np.array_equal(upscaler(network).run(FRAMES[3:4]), made[3:4])
    assert not np.array_equal(upscaler(network, seed=2).run(FRAMES), made)


def test_a_still_clip_stays_still(network: Any) -> None:
    made = upscaler(network).run(np.repeat(FRAMES[:1], 4, axis=0))
    assert (made == made[:1]).all()


def test_frames_are_counted_and_a_stop_stops(network: Any) -> None:
    told: list[tuple[int, int]] = []
    upscaler(network).run(FRAMES, on_step=lambda frame, frames: told.append((frame, frames)))
    assert told == [(n, 5) for n in range(1, 6)]

    def stop(frame: int, frames: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        upscaler(network).run(FRAMES, on_step=stop)
