"""The instruments for frames a second and for pictures are exact on drawn video."""

from __future__ import annotations

import random

import numpy as np
import pytest

from models.evaluation.picture import held_out_pictures, score_picture
from models.evaluation.rate import score_rates, slow_movers
from models.shapes import world
from models.shapes.language import Caption


def drawn(caption: Caption, seed: int, fps: float) -> np.ndarray:
    pixels = world.draw(world.scene(caption, random.Random(seed)), [k * world.FPS / fps for k in range(16)], 64)
    return ((pixels.movedim(1, -1) + 1) * 127.5).round().byte().numpy()


def test_video_at_a_quarter_of_the_rate_moves_four_times_as_far_a_frame():
    score = score_rates(drawn, slow_movers(4))
    assert score.ratio == pytest.approx(4, rel=0.05)
    assert score.slow_step > world.STEP["slowly"]


def test_video_that_does_not_hear_the_rate_has_the_ratio_one():
    assert score_rates(lambda caption, seed, fps: drawn(caption, seed, 8), slow_movers(4)).ratio == pytest.approx(
        1, 0.15
    )


def test_slow_movers_are_held_out_and_on_their_way():
    captions = slow_movers(32)
    assert len(set(captions)) == 32
    assert all(world.held_out(actor) and actor.motion != "staying still" for c in captions for actor in c.actors)


def test_a_picture_is_found_in_the_video_it_was_taken_from_and_not_in_another():
    (caption, picture), *_ = held_out_pictures(1)
    clip = np.concatenate([drawn(caption, 5, 8), picture[None]])
    found = score_picture(picture, clip)
    assert (found.colour, found.shape, found.background, found.near) == (True, True, True, 0)
    other = next(c for c in slow_movers(40) if c.actors[0].colour != caption.actors[0].colour)
    assert not score_picture(picture, drawn(other, 5, 8)).colour
