"""A video that begins with a picture: frame 0 is the picture, and everything after it is made."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import catalog, state, units
from models.recipe import Recipe
from models.request import VideoRequest
from models.streaming_t2v.anchor import embed_anchor

MODELS = {
    "held": catalog.find("tiny-shapes"),
    "published": replace(catalog.find("tiny-shapes"), hold_known_frames=False, eta=1.0),
}
PICTURE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
REQUEST = VideoRequest(
    prompt="a red circle moving right on a black background", num_frames=32, seed=5, steps=2, guidance_scale=2.0,
    anchor_guidance_scale=2.0, image=PICTURE,
)  # fmt: skip


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def results(pipeline, model, **changes):
    return list(Recipe(pipeline, model, replace(REQUEST, **changes)).generate())


def frames_of(made):
    return np.concatenate([result.frames for _, result in made])


def test_the_first_frame_is_the_picture_and_the_others_are_made(pipeline, model):
    frames = frames_of(results(pipeline, model))
    assert frames.shape == (32, 64, 64, 3)
    assert np.array_equal(frames[0], PICTURE)
    assert not any(np.array_equal(frame, PICTURE) for frame in frames[1:])


def test_the_anchor_is_the_picture(pipeline, model):
    left = state.loads(results(pipeline, model)[0][1].state)
    pixels = torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        assert torch.equal(left["anchor"], embed_anchor(pipeline.image_encoder, pixels)[0])


def test_the_state_it_leaves_is_that_of_any_first_chunk(pipeline, model):
    with_picture, without = (
        state.loads(results(pipeline, model, image=image)[0][1].state) for image in (PICTURE, None)
    )
    assert {name: t.shape for name, t in with_picture.items()} == {name: t.shape for name, t in without.items()}
    assert torch.equal(with_picture["frames"][0], torch.from_numpy(PICTURE))


def test_held_latents_are_those_that_the_frames_were_decoded_from(pipeline):
    from models import pixels

    left = state.loads(results(pipeline, MODELS["held"])[0][1].state)
    with torch.no_grad():
        again = pixels.decode(pipeline.vae, left["latents"], batch=8)
    assert np.abs(again.astype(int) - left["frames"][-8:].numpy()).max() <= 1


@pytest.mark.parametrize("change", [{"seed": 6}, {"prompt": "a blue star moving up on a navy background"}])
def test_the_picture_the_seed_and_the_prompt_all_take_effect(pipeline, model, change):
    frames = frames_of(results(pipeline, model))
    assert np.array_equal(frames_of(results(pipeline, model)), frames)
    assert not np.array_equal(frames_of(results(pipeline, model, **change))[1:], frames[1:])
    other = np.ascontiguousarray(PICTURE[::-1])
    assert not np.array_equal(frames_of(results(pipeline, model, image=other))[1:], frames[1:])


def test_a_picture_of_another_shape_is_cropped_in_the_middle_and_not_stretched(pipeline, model):
    wide = np.zeros((128, 200, 3), np.uint8)
    wide[:, 36:164] = 200  # the middle square
    first = frames_of(results(pipeline, model, image=wide, num_frames=1))
    assert first.shape == (1, 64, 64, 3) and (first == 200).all()


def test_progress_counts_both_passes_and_may_stop_the_work(pipeline, model):
    seen = []
    recipe = Recipe(pipeline, model, REQUEST)
    recipe.run(recipe.plan[0], {}, lambda *progress: seen.append(progress))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def stop(step, steps):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        recipe.run(recipe.plan[0], {}, stop)


def test_a_refined_video_begins_with_the_picture_too(pipeline, model):
    from models.request import RefineOptions

    made = results(pipeline, model, num_frames=17, refine=RefineOptions(1, 0.1))
    refined = [result.frames for unit, result in made if unit.stage is units.Stage.REFINE]
    assert np.concatenate(refined).shape == (17, 128, 128, 3)
