"""The tracker reads drawn video exactly, so that what it says of generated video can be trusted."""

import random

import pytest

from models.shapes import tracker, world


def frames_of(scene, frames=range(16), size=64):
    drawn = world.draw(scene, frames, size)
    return ((drawn.permute(0, 2, 3, 1) + 1) * 127.5).round().byte()


@pytest.mark.parametrize("size", [64, pytest.param(128, marks=pytest.mark.long)])
def test_every_attribute_of_drawn_video_is_read_back(size):
    rng = random.Random(5)
    wrong = []
    for _ in range(48):
        caption = world.sample_caption(rng)
        (actor,) = caption.actors
        read = tracker.track(frames_of(world.scene(caption, rng), size=size))
        asked = (actor.colour, actor.shape, actor.motion, caption.background, 1.0)
        got = (read.colour, read.shape, read.motion, read.background, read.presence)
        if asked != got or (actor.speed and read.speed != actor.speed):
            wrong.append((str(caption), got, read.speed))
    assert not wrong


def test_an_empty_scene_holds_no_actor():
    rng = random.Random(0)
    scene = world.scene(world.sample_caption(rng), rng)
    empty = frames_of(world.Scene(scene.caption, ()))
    assert tracker.track(empty).presence == 0


def test_a_bounce_keeps_the_actor_in_the_picture_for_ten_minutes():
    rng = random.Random(1)
    for _ in range(20):
        (body,) = world.scene(world.sample_caption(rng), rng).bodies
        for frame in (0, 17, 100, 4799):
            assert all(body.radius - 1e-9 <= v <= 1 - body.radius + 1e-9 for v in body.centre(frame))
