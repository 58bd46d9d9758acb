"""How the suite brings scores together."""

from __future__ import annotations

import random

import numpy as np
import pytest

from models.evaluation.following import RollOutScore, means, score_roll_out
from models.shapes import world
from models.shapes.language import read


def test_a_mean_is_over_the_videos_that_have_the_figure():
    scores = [RollOutScore(1.0, 1.0, 0.5, 3.0, 0.0), RollOutScore(0.0, 1.0, 0.5, None, 0.5)]
    assert means(scores) == {"presence": 0.5, "kept_colour": 1, "kept_shape": 0.5, "seam_ratio": 3, "drift": 0.25}
    assert "seam_ratio" not in means(scores[1:])


def test_a_drawn_video_keeps_what_its_caption_says():
    caption = read("a large red circle moving right slowly on a black background")
    drawn = world.draw(world.scene(caption, random.Random(3)), range(40), 64)
    frames = ((drawn.movedim(1, -1) + 1) * 127.5).round().byte().numpy()
    score = score_roll_out(caption, frames, [16, 24, 32])
    assert (score.presence, score.kept_colour) == (1, 1)
    assert score.seam_ratio == pytest.approx(1, abs=0.3)
    halved = np.concatenate([frames[:24], np.zeros_like(frames[:16])])
    assert score_roll_out(caption, halved, [16, 24, 32]).presence == pytest.approx(24 / 40)
