"""What goes on from chunk to chunk: each system hears prompt, seed and its own options, and any worker can go on."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from models import catalog, systems
from models.first_chunk.loading import load_source
from models.first_chunk.source import Source
from models.model import CheckpointError
from models.recipe import Recipe
from models.request import default_request
from models.shapes import world
from models.shapes.language import read

TINY = catalog.TINY_SHAPES
PROMPT, OTHER = "a red circle moving right on a black background", "a blue star moving up on a navy background"
RECIPES = {
    "text2video-zero": TINY.composed(systems.TEXT2VIDEO_ZERO, systems.TEXT2VIDEO_ZERO),
    "freenoise": TINY.composed(streamer=systems.FREENOISE),
    "last-frame": TINY.composed(streamer=systems.VIDEOCRAFTER_I2V),
    "extrapolation": TINY.composed(streamer=systems.MAKE_A_VIDEO),
    "edit": catalog.find("tiny-instruct-pix2pix"),
    "control": catalog.find("tiny-controlnet-canny"),
}


@cache
def source(system: str) -> Source:
    return load_source(system, TINY.place(system), device="cpu")


def clip(frames: int) -> np.ndarray:
    drawn = world.draw(world.scene(read(PROMPT), random.Random(1)), range(frames), 128)
    return ((drawn + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def recipe(pipeline, name, **changes):
    model = RECIPES[name]
    prompt = "make it blue" if name == "edit" else PROMPT
    request = default_request(model, prompt, num_frames=model.chunk_frames + 4, seed=3, refine=False)
    given = {"clip": clip(request.num_frames)} if "clip" in model.inputs else {}
    sources = {system: source(system) for system in model.systems}
    return Recipe(pipeline, model, replace(request, steps=2, **given, **changes), sources)


def made(pipeline, name, **changes):
    results = recipe(pipeline, name, **changes).generate()
    return np.concatenate([result.frames for _, result in results])


@pytest.fixture(params=RECIPES)
def name(request):
    return request.param


def test_a_later_chunk_can_be_made_by_another_worker_from_the_state_alone(pipeline, name):
    states, frames = {}, {}
    for unit, result in recipe(pipeline, name).generate():
        states[unit.key], frames[unit.key] = result.state, result.frames
    first, last = recipe(pipeline, name).plan[:2]
    again = recipe(pipeline, name).run(last, {first.key: states[first.key]})
    assert np.array_equal(again.frames, frames[last.key]) and len(again.frames) == 4


def test_a_branch_with_another_seed_changes_what_comes_after_it_and_no_frame_before(pipeline, name):
    at = RECIPES[name].chunk_frames
    own, other = made(pipeline, name), made(pipeline, name, seeds=((at, 9),))
    assert np.array_equal(own[:at], other[:at]) and not np.array_equal(own[at:], other[at:])


def test_a_later_prompt_is_followed_where_the_system_reads_it(pipeline, name):
    at = RECIPES[name].chunk_frames
    later = "make it green" if name == "edit" else OTHER
    own, other = made(pipeline, name), made(pipeline, name, prompts=((at, later),))
    assert np.array_equal(own[:at], other[:at])
    assert np.array_equal(own[at:], other[at:]) == (name == "extrapolation")


def test_the_camera_moves_as_it_is_told(pipeline):
    still, moved = (made(pipeline, "text2video-zero", motion=motion) for motion in ((0.0, 0.0), (-40.0, 0.0)))
    assert np.array_equal(still[0], moved[0]) and not np.array_equal(still[3], moved[3])


def test_weights_that_are_not_loaded_are_named(pipeline):
    request = default_request(TINY, PROMPT, num_frames=24, seed=1, refine=False)
    with pytest.raises(CheckpointError, match="goes on by make-a-video, and its weights are not loaded"):
        Recipe(pipeline, RECIPES["extrapolation"], request)


def test_frames_far_apart_begin_with_the_same_noise_in_another_order(pipeline):
    recipe = Recipe(pipeline, RECIPES["freenoise"], default_request(TINY, PROMPT, num_frames=40, seed=1, refine=False))
    streamer, like = recipe._streamer, torch.zeros(1, 4, 8, 8, 8)
    first, second, *later = (streamer._noise(like, group, 1) for group in range(6))
    assert not torch.equal(first, second)
    for group, drawn in enumerate(later):
        own = (first, second)[group % 2]
        assert not torch.equal(drawn, own)
        assert torch.equal(drawn, own[:, :, order(drawn, own)])
    assert not torch.equal(later[0], later[2])


def order(shuffled: torch.Tensor, own: torch.Tensor) -> list[int]:
    """Which frame of `own` each frame is."""
    found = [
        next(i for i in range(own.shape[2]) if torch.equal(own[:, :, i], shuffled[:, :, j]))
        for j in range(shuffled.shape[2])
    ]
    assert sorted(found) == list(range(own.shape[2]))
    return found
