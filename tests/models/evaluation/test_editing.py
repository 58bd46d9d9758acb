"""The measure of edits gives full marks to the changed scene itself, and none to a clip that was left alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from models.evaluation.editing import apparent_size, cases, drawn, evaluate_edits, score_edit
from models.shapes import world
from models.shapes.changed import changed
from models.shapes.instruction import CHANGES, Instruction
from models.shapes.language import SHAPES, Actor, Caption

COUNT, FRAMES = 8, 4


def test_a_clip_that_was_left_alone_keeps_everything_and_changes_nothing():
    figures = evaluate_edits(lambda case: case.frames, COUNT, frames=FRAMES)
    assert set(figures) == {*CHANGES, "all"}
    assert figures["all"] == {"changed": 0, "kept": 1, "presence": 1, "trajectory_error": 0}


def test_what_was_asked_for_counts_and_what_was_not_is_missed():
    for case in cases(COUNT, frames=FRAMES):
        exact = score_edit(case, drawn(changed(case.scene, case.instruction), FRAMES))
        assert exact.changed and exact.kept == 1
        assert exact.trajectory_error < 3  # a border cuts off more of what has grown
    of_shape = next(case for case in cases(COUNT, frames=FRAMES) if case.instruction.what == "shape")
    other = "white" if of_shape.scene.caption.actors[0].colour != "white" else "red"
    score = score_edit(of_shape, drawn(changed(of_shape.scene, Instruction("colour", other)), FRAMES))
    assert not score.changed and score.kept == pytest.approx(2 / 3)


def test_an_actor_that_moves_elsewhere_is_told():
    case = next(cases(1, frames=FRAMES))
    assert score_edit(case, np.roll(case.frames, 16, axis=2)).trajectory_error > 5
    gone = score_edit(case, np.zeros_like(case.frames))
    assert gone.presence == 0 and gone.trajectory_error is None


@pytest.mark.parametrize("size", world.RADIUS)
def test_the_size_is_read_from_the_area(size):
    for shape in SHAPES:
        caption = Caption((Actor("red", shape, "staying still", size),), "black")
        assert apparent_size(drawn(world.scene(caption, random.Random(0)), 2), shape) == size
