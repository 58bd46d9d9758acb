"""A first chunk by Text2Video-Zero from a folder of Stable Diffusion: really loaded, really run, and gone on from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import catalog
from models.first_chunk import text2video_zero
from models.first_chunk.text2video_zero import Text2VideoZeroSource
from models.memory import placement, presets
from models.recipe import Recipe
from models.request import Brief
from models.text2video_zero.options import Options
from models.units import Stage
from tests.models.first_chunk.asked import REQUEST, WISH
from tests.support import sources

MODEL = replace(
    catalog.find("tiny-shapes"), first_chunk="text2video-zero", first_chunk_steps=3, first_chunk_guidance_scale=7.5
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(sources.stable_diffusion(tmp_path_factory.mktemp("zero") / "sd15", with_adapter=False))


@pytest.fixture(scope="module")
def source(folder):
    loaded = text2video_zero.load(folder, dtype=torch.float32, variant=None, use_safetensors=True)
    placement.place_beside(loaded.pipeline, presets.LARGE, torch.device("cpu"))
    return loaded


def drawn(source, wish=WISH):
    return source.draw(wish, lambda *_: None)


def test_the_streaming_network_goes_on_from_it(pipeline, source):
    recipe = Recipe(pipeline, MODEL, REQUEST, {MODEL.first_chunk: source})
    made = [result.frames for unit, result in recipe.generate() if unit.stage is not Stage.REFINE]
    frames = np.concatenate(made)
    assert frames.shape == (24, 64, 64, 3) and frames.dtype == np.uint8
    assert np.array_equal(frames[:16], drawn(source, Brief(recipe.model, recipe.request).wish()))


def test_the_same_wish_gives_the_same_frames_and_another_seed_others(source):
    frames = drawn(source)
    torch.manual_seed(123)  # what else is drawn in the process is of no account
    assert np.array_equal(drawn(source), frames)
    assert not np.array_equal(drawn(source, replace(WISH, seed=2)), frames)


@pytest.mark.parametrize(
    "change", [{"prompt": "a cow"}, {"negative_prompt": "rain"}, {"guidance_scale": 3.0}, {"steps": 5}]
)
def test_it_is_given_every_wish(source, change):
    assert not np.array_equal(drawn(source), drawn(source, replace(WISH, **change)))


def test_it_can_be_stopped_within_a_step_and_started_anew(source):
    told = []

    def stop(step, steps):
        told.append((step, steps))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        source.draw(WISH, stop)
    assert told[0][0] == 1
    counted = []
    frames = source.draw(WISH, lambda *progress: counted.append(progress))
    assert counted == [(i + 1, told[0][1]) for i in range(told[0][1])]
    assert np.array_equal(frames, drawn(source))


@pytest.mark.parametrize("steps", [1, 1000])
def test_any_number_of_steps_that_a_model_allows_is_taken(source, monkeypatch, steps):
    wish = replace(WISH, num_frames=2, steps=steps)
    nearest = replace(wish, steps=2 if steps == 1 else 100)
    assert np.array_equal(drawn(source, wish), drawn(source, nearest))


def test_a_wide_video_has_a_wide_first_chunk(source):
    assert drawn(source, replace(WISH, height=64, width=112)).shape == (16, 64, 112, 3)


def test_motion_and_smoothing_are_the_sources_own(source):
    for options in (Options(motion=(0.0, 40.0)), Options(alpha=0.6)):
        other = Text2VideoZeroSource(source.pipeline, options)
        assert not np.array_equal(drawn(other), drawn(source))


def test_weights_can_rest_beside_the_device_and_come_layer_by_layer(folder, source):
    """Cross-frame attention is put in and taken out around hooks that fetch each layer."""
    grouped = text2video_zero.load(folder)
    placement.place_beside(grouped.pipeline, presets.MEDIUM, torch.device("cpu"))
    assert np.array_equal(drawn(grouped), drawn(source))
