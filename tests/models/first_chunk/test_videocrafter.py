"""A first chunk by VideoCrafter1, from text or from a picture: really loaded, really run, and gone on from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import catalog
from models.first_chunk import videocrafter
from models.memory import placement, presets
from models.model import CheckpointError
from models.recipe import Recipe
from models.request import Brief
from models.streaming_t2v.sampler import ignore
from models.units import Stage
from tests.models.first_chunk.asked import PICTURE, REQUEST, WISH
from tests.support import videocrafter as folders

BEGUN = replace(catalog.find("tiny-shapes"), first_chunk="videocrafter", first_chunk_steps=2)


@pytest.fixture(scope="module")
def from_text(tmp_path_factory):
    return videocrafter.load(str(folders.text_to_video(tmp_path_factory.mktemp("vc") / "t2v")), use_safetensors=True)


@pytest.fixture(scope="module")
def from_picture(tmp_path_factory):
    return videocrafter.load(str(folders.image_to_video(tmp_path_factory.mktemp("vc") / "i2v")), use_safetensors=True)


@pytest.fixture(params=["from_text", "from_picture"])
def source(request):
    return request.getfixturevalue(request.param)


def test_the_network_says_whether_it_draws_from_a_picture(from_text, from_picture):
    assert from_picture.needs_image and not from_text.needs_image


@pytest.mark.parametrize(("height", "width", "frames"), [(64, 64, 16), (64, 112, 16), (96, 64, 8)])
def test_it_draws_exactly_the_frames_wished_for(source, height, width, frames):
    made = source.draw(replace(WISH, height=height, width=width, num_frames=frames), ignore)
    assert made.shape == (frames, height, width, 3) and made.dtype == np.uint8


def test_the_same_wish_gives_the_same_frames_and_progress(source):
    told = []
    frames = source.draw(WISH, lambda *progress: told.append(progress))
    assert told == [(1, 2), (2, 2)] and np.array_equal(source.draw(WISH, ignore), frames)


@pytest.mark.parametrize(
    "change", [{"prompt": "a cow"}, {"negative_prompt": "rain"}, {"guidance_scale": 3.0}, {"seed": 2}]
)
def test_it_is_given_every_wish(source, change):
    assert not np.array_equal(source.draw(replace(WISH, **change), ignore), source.draw(WISH, ignore))


def test_it_is_given_the_picture_if_it_reads_pictures(from_text, from_picture):
    other = replace(WISH, image=255 - PICTURE)
    assert not np.array_equal(from_picture.draw(other, ignore), from_picture.draw(WISH, ignore))
    assert np.array_equal(from_text.draw(other, ignore), from_text.draw(WISH, ignore))


def test_things_move_as_fast_as_it_is_told(source):
    faster = videocrafter.VideoCrafter(source.pipeline, fps=24)
    assert not np.array_equal(faster.draw(WISH, ignore), source.draw(WISH, ignore))


def test_what_on_step_raises_passes_through(source):
    def stop(step, steps):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        source.draw(WISH, stop)


def test_it_draws_the_same_where_its_weights_are_fetched_layer_by_layer(tmp_path):
    loaded = videocrafter.load(str(folders.image_to_video(tmp_path / "i2v")))
    frames = loaded.draw(WISH, ignore)
    placement.place_beside(loaded.pipeline, presets.SMALL, torch.device("cpu"))
    assert np.array_equal(loaded.draw(WISH, ignore), frames)


def test_the_streaming_network_goes_on_from_it(pipeline, from_text):
    recipe = Recipe(pipeline, BEGUN, REQUEST, {BEGUN.first_chunk: from_text})
    made = [result.frames for unit, result in recipe.generate() if unit.stage is not Stage.REFINE]
    frames = np.concatenate(made)
    assert frames.shape == (24, 64, 64, 3)
    assert np.array_equal(frames[:16], from_text.draw(Brief(recipe.model, recipe.request).wish(), ignore))


def test_a_network_that_draws_from_a_picture_asks_for_one(from_picture):
    with pytest.raises(ValueError, match="goes on from a picture, and none is given"):
        from_picture.draw(replace(WISH, image=None), ignore)


def test_more_frames_than_it_makes_are_refused(source):
    with pytest.raises(CheckpointError, match="makes 16 frames; 17 are needed"):
        source.draw(replace(WISH, num_frames=17), ignore)


def test_one_step_is_made_two(source):
    assert np.array_equal(source.draw(replace(WISH, steps=1), ignore), source.draw(WISH, ignore))
