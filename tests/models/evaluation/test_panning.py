"""What the camera of a drawn pan did is read from the content, which moves the other way."""

from __future__ import annotations

import random

import pytest

from models.evaluation.editing import drawn
from models.evaluation.panning import content_motion, share_of_asked
from models.shapes import world
from models.shapes.language import read


def test_the_content_goes_against_the_camera():
    caption = read("a small red circle moving down and left slowly on a black background")
    frames = drawn(world.scene(caption, random.Random(2)), 12)
    step = 512 * world.STEP["slowly"]
    assert content_motion(frames) == pytest.approx((-step, step), abs=0.1)
    assert share_of_asked(frames, (step, -step)) == pytest.approx(1, abs=0.02)
    assert share_of_asked(frames, (2 * step, -2 * step)) == pytest.approx(0.5, abs=0.02)
    assert share_of_asked(frames, (-step, step)) == pytest.approx(-1, abs=0.02)
    with pytest.raises(ValueError, match="stands still"):
        share_of_asked(frames, (0, 0))
