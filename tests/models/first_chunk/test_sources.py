"""A first chunk by AnimateDiff or Stable Video Diffusion: really loaded, really run, and gone on from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import catalog, systems
from models.first_chunk.loading import SOURCES, load_source
from models.first_chunk.svd import StableVideoDiffusion
from models.model import CatalogError, CheckpointError
from models.recipe import Recipe
from models.request import Brief
from models.units import Stage
from tests.models.first_chunk.asked import PICTURE, REQUEST, WISH
from tests.support import sources

TINY = catalog.find("tiny-shapes")
ANIMATED = replace(TINY, first_chunk=systems.ANIMATEDIFF, first_chunk_steps=2, first_chunk_guidance_scale=7.5)
PICTURED = replace(TINY, first_chunk=systems.SVD, first_chunk_steps=2)


@pytest.fixture(scope="module")
def animatediff(tmp_path_factory):
    return load_source("animatediff", sources.animatediff(tmp_path_factory.mktemp("ad") / "animatediff"), "cpu")


@pytest.fixture(scope="module")
def svd(tmp_path_factory):
    loaded = load_source("svd", sources.stable_video(tmp_path_factory.mktemp("svd") / "svd"), "cpu")
    return StableVideoDiffusion(loaded.pipeline, height=64, width=128)


@pytest.fixture(params=["animatediff", "svd"])
def case(request):
    """A source, the model that begins with it, and what it is asked for."""
    source = request.getfixturevalue(request.param)
    if request.param == "svd":
        return source, PICTURED, replace(REQUEST, image=PICTURE)
    return source, ANIMATED, REQUEST


def made(pipeline, case, **changes):
    source, model, request = case
    results = Recipe(pipeline, model, replace(request, **changes), {model.first_chunk: source}).generate()
    return np.concatenate([result.frames for unit, result in results if unit.stage is not Stage.REFINE])


def test_the_streaming_network_goes_on_from_it(pipeline, case):
    frames = made(pipeline, case)
    assert frames.shape == (24, 64, 64, 3) and frames.dtype == np.uint8
    source, model, request = case
    recipe = Recipe(pipeline, model, request, {model.first_chunk: source})
    wish = Brief(recipe.model, recipe.request).wish()
    assert np.array_equal(frames[:16], source.draw(wish, lambda *_: None))


def test_the_same_request_gives_the_same_frames_and_another_seed_others(pipeline, case):
    frames = made(pipeline, case)
    torch.manual_seed(123)  # what else is drawn in the process is of no account
    assert np.array_equal(made(pipeline, case), frames)
    assert not np.array_equal(made(pipeline, case, seed=6)[:16], frames[:16])


def test_any_unit_may_be_made_by_another_worker(pipeline, case):
    source, model, request = case
    states = {}
    for unit, result in Recipe(pipeline, model, request, {model.first_chunk: source}).generate():
        again = Recipe(pipeline, model, request, {model.first_chunk: source}).run(
            unit, {key: states[key] for key in unit.needs}
        )
        assert np.array_equal(again.frames, result.frames) and again.state == result.state
        states[unit.key] = result.state


def test_it_can_be_stopped_within_a_step_and_started_anew(case):
    source, _, _ = case
    told = []

    def stop(step, steps):
        told.append((step, steps))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        source.draw(WISH, stop)
    assert told == [(1, 2)]
    counted = []
    frames = source.draw(WISH, lambda *progress: counted.append(progress))
    assert counted == [(1, 2), (2, 2)] and np.array_equal(frames, source.draw(WISH, lambda *_: None))


@pytest.mark.parametrize("change", [{"prompt": "a cow"}, {"negative_prompt": "rain"}, {"guidance_scale": 3.0}])
def test_animatediff_is_given_every_wish(animatediff, change):
    plain, changed = (animatediff.draw(wish, lambda *_: None) for wish in (WISH, replace(WISH, **change)))
    assert not np.array_equal(plain, changed)


def test_a_wide_video_has_a_wide_first_chunk(animatediff, svd):
    wide = replace(WISH, height=64, width=112, steps=1)
    for source in (animatediff, svd):
        assert source.draw(wide, lambda *_: None).shape == (16, 64, 112, 3)


def test_svd_sees_the_picture_with_black_beside_it():
    canvas, place = WISH.framed(64, 128)
    assert canvas.shape == (64, 128, 3) and place == (slice(0, 64), slice(32, 96))
    assert not canvas[:, :32].any() and not canvas[:, 96:].any() and canvas[:, 32:96].any()


def test_a_picture_begins_a_video_of_animatediffs_model_instead_of_it(pipeline, animatediff):
    frames = made(pipeline, (animatediff, ANIMATED, replace(REQUEST, image=np.full((64, 64, 3), 90, np.uint8))))
    assert (frames[0] == 90).all()


def test_a_model_that_begins_with_a_picture_asks_for_one(pipeline, svd):
    with pytest.raises(CatalogError, match="goes on from a picture, and none is given") as refused:
        Recipe(pipeline, PICTURED, REQUEST, {PICTURED.first_chunk: svd})
    assert refused.value.code == "image_needed"


def test_a_model_is_not_begun_without_its_source(pipeline):
    with pytest.raises(CheckpointError, match="begins with animatediff, and its weights are not loaded"):
        Recipe(pipeline, ANIMATED, REQUEST)


def test_stable_diffusion_with_a_motion_adapter_in_its_folder_is_animatediff(tmp_path):
    source = load_source("animatediff", sources.stable_diffusion(tmp_path / "sd15", with_adapter=True), "cpu")
    schedule = source.pipeline.scheduler.config
    assert (schedule.beta_schedule, schedule.timestep_spacing, schedule.clip_sample) == ("linear", "linspace", False)
    assert source.draw(replace(WISH, steps=1), lambda *_: None).shape == (16, 64, 64, 3)


def test_stable_diffusion_without_a_motion_adapter_says_what_is_missing(tmp_path):
    folder = sources.stable_diffusion(tmp_path / "sd15", with_adapter=False)
    with pytest.raises(CheckpointError, match="put the folder of a motion adapter in it as 'motion_adapter'"):
        load_source("animatediff", folder, "cpu")


def test_an_svd_of_fewer_frames_than_a_chunk_is_refused(tmp_path):
    source = load_source("svd", sources.stable_video(tmp_path / "svd", num_frames=14), "cpu")
    with pytest.raises(CheckpointError, match="makes 14 frames; 16 are needed"):
        source.draw(WISH, lambda *_: None)


def test_another_folder_is_refused_in_one_sentence(tmp_path):
    folder = sources.animatediff(tmp_path / "animatediff")
    with pytest.raises(CheckpointError, match="is no svd that Longtake can load"):
        load_source("svd", folder, "cpu")


def test_every_source_that_a_model_begins_with_can_be_loaded():
    named = {name for model in catalog.MODELS.values() for name in (*model.first_chunks, *model.streamers)}
    named |= {system for model in catalog.MODELS.values() for system in model.systems}
    assert set(SOURCES) == named - systems.OWNED | {systems.MAKE_A_VIDEO}
