"""The bundled diffusion transformer: it goes on from tiny-shapes' first chunk, with what was to be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import catalog, units
from models.loading import load_pipeline
from models.recipe import Recipe
from models.request import default_request
from models.shapes import tracker
from models.streaming_dit.transformer import StreamingTransformer3D

PROMPT = "a red circle moving right on a black background"


@pytest.fixture(scope="module")
def parts():
    return load_pipeline("tiny-shapes-dit", device="cpu")


def recipe(parts, **asked):
    model = catalog.find("tiny-shapes-dit")
    return Recipe(parts, model, default_request(model, PROMPT, num_frames=32, seed=3, refine=False), **asked)


def frames_of(made):
    return np.concatenate([result.frames for _, result in made])


def test_the_streaming_network_is_the_transformer_and_all_else_is_tiny_shapes(parts):
    unet = load_pipeline("tiny-shapes", device="cpu")
    assert isinstance(parts.unet, StreamingTransformer3D)
    theirs, ours = unet.first_chunk.state_dict(), parts.first_chunk.state_dict()
    assert theirs.keys() == ours.keys() and all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_what_is_asked_for_is_seen_in_every_chunk_and_each_can_be_made_again(parts):
    own, states, chunks = recipe(parts), {}, []
    for unit, result in own.generate():
        again = recipe(parts).run(unit, {key: states[key] for key in unit.needs})
        assert np.array_equal(again.frames, result.frames) and again.state == result.state
        states[unit.key] = result.state
        chunks.append(result.frames)
    read = tracker.track(torch.from_numpy(np.concatenate(chunks)))
    assert len(read.sightings) == 32 and read.kept_colour("red") > 0.9


def test_memory_makes_one_video_of_the_chunks(parts):
    with_memory, without = frames_of(recipe(parts).generate()), frames_of(recipe(parts, use_cam=False).generate())
    first = units.plan(catalog.find("tiny-shapes-dit"), 32, None)[0].num_frames
    jump = lambda frames: np.abs(frames[first].astype(int) - frames[first - 1]).mean()  # noqa: E731
    assert jump(with_memory) < jump(without)


def test_it_has_no_turbo():
    assert catalog.find("tiny-shapes-dit").turbo is None
