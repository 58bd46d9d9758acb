"""A changed scene differs in what was asked for, and moves as it did."""

from __future__ import annotations

import random

import pytest

from models.shapes import tracker, world
from models.shapes.changed import changed
from models.shapes.instruction import CHANGES, EVERY
from tests.models.shapes.test_tracker import frames_of

FRAMES = range(0, 48, 8)


@pytest.mark.parametrize("what", CHANGES)
def test_only_what_is_named_changes(what):
    rng = random.Random(4)
    for instruction in (one for one in EVERY if one.what == what):
        scene = world.scene(world.sample_caption(rng, sized=0), rng)
        after = changed(scene, instruction)
        (old,), (new,) = scene.bodies, after.bodies
        assert all(new.centre(frame) == old.centre(frame) for frame in range(200))
        before, read = (tracker.track(frames_of(s, FRAMES)) for s in (scene, after))
        shown = {"colour": read.colour, "shape": read.shape, "background": read.background}
        as_before = {"colour": before.colour, "shape": before.shape, "background": before.background}
        assert shown == as_before | ({what: instruction.into} if what in shown else {})
        assert new.radius == world.RADIUS[instruction.into if what == "size" else None]
