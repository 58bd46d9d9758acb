"""Any video smoother and larger: given frames stay, each unit can be made alone, and memory does not grow with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from longtake.checkpoints.stranger import look_at
from models import state, systems
from models.families.ltx2 import FAMILY
from models.first_chunk.make_a_video import MakeAVideo
from models.loading import load_model
from models.make_a_video.network import inflate
from models.make_a_video.pipeline import MakeAVideoPipeline
from models.model import CheckpointError
from models.recipe import Recipe
from models.request import RefineOptions, default_request
from models.sound import begins
from tests.models.test_recipe import MODEL, REQUEST
from tests.support.make_a_video import awake, enlarger, image_network
from tests.support.tiny import ltx2

LATER = replace(REQUEST, num_frames=26, steps=1, interpolate=3, upscale=2)


@pytest.fixture(scope="module")
def sources(pipeline):
    parts = MakeAVideoPipeline(
        scheduler=DDIMScheduler(prediction_type="v_prediction", clip_sample=False),
        interpolator=awake(inflate(image_network(channels=4), planes=5)),
        sharpener=enlarger(),
        vae=pipeline.vae,
        sharpener_factor=2,
    )
    return {systems.MAKE_A_VIDEO: MakeAVideo(parts)}


def tracks(recipe):
    """The frames of each track, and the states that the units left."""
    made, states = {}, {}
    for unit, result in recipe.generate():
        states[unit.key] = result.state
        if len(result.frames):
            made.setdefault(unit.stage.track, []).append(result.frames)
    return {track: np.concatenate(frames) for track, frames in made.items()}, states


@pytest.mark.parametrize(("refine", "upscale"), [(None, 2), (RefineOptions(1, 0.3), 1)], ids=["preview", "refined"])
def test_the_frames_that_were_there_stay_and_every_unit_can_be_made_alone(pipeline, sources, refine, upscale):
    request = replace(LATER, refine=refine, upscale=upscale)
    made, states = tracks(Recipe(pipeline, MODEL, request, sources))
    before = made["refined" if refine else "preview"]
    side = before.shape[1]
    assert made["interpolated"].shape == (76, side, side, 3)
    if upscale > 1:
        assert made["upscaled"].shape == (76, 2 * side, 2 * side, 3)
    assert np.array_equal(made["interpolated"][::3], before)
    for unit in Recipe(pipeline, MODEL, request, sources).plan[-7:-1]:  # by a new worker, from nothing but the states
        again = Recipe(pipeline, MODEL, request, sources).run(unit, {key: states[key] for key in unit.needs})
        frames = made[unit.stage.track][unit.first_frame : unit.first_frame + unit.num_frames]
        assert again.state == states[unit.key] and np.array_equal(again.frames, frames)


def test_what_stays_as_it_was_is_not_handed_on(pipeline, sources):
    """A state holds frames only for a stage that reads them."""
    _, states = tracks(Recipe(pipeline, MODEL, replace(LATER, num_frames=16, upscale=1), sources))
    assert state.loads(states["interpolate-00000"]) == {}
    _, states = tracks(Recipe(pipeline, MODEL, replace(LATER, num_frames=16), sources))
    assert set(state.loads(states["interpolate-00000"])) == {"frames"} and state.loads(states["upscale-00000"]) == {}


def test_states_do_not_grow_with_the_video(pipeline, sources):
    """Of a video twice as long the largest state is as large."""
    largest = [
        max(map(len, tracks(Recipe(pipeline, MODEL, replace(LATER, num_frames=frames), sources))[1].values()))
        for frames in (24, 48)
    ]
    assert largest[0] == largest[1]


def test_weights_that_are_not_there_are_named(pipeline, sources):
    with pytest.raises(CheckpointError, match="smoother and larger by weights that are not loaded"):
        list(Recipe(pipeline, MODEL, replace(LATER, num_frames=4)).generate())
    other = replace(LATER, num_frames=4, interpolate=1, upscale=3)
    with pytest.raises(CheckpointError, match="enlarges by 2"):
        list(Recipe(pipeline, MODEL, other, sources).generate())


@pytest.mark.parametrize(("interpolate", "upscale"), [(3, 2), (1, 2)])
def test_sound_stays_with_its_frames_however_many_they_become(sources, tmp_path, interpolate, upscale):
    """Every track has the same sound; a smoother one ends as much sooner as its last frame is shorter."""
    folder = str(ltx2.build(tmp_path / "ltx2"))
    options = {**ltx2.OPTIONS, "frame_rate": 7}  # at which frames do not begin with whole samples
    model = FAMILY.describe("tiny", folder, look_at(folder).facts, sizes=(ltx2.SIZE,), **options)
    request = default_request(model, "a red ball", num_frames=34, seed=5, refine=False)
    request = replace(request, steps=1, interpolate=interpolate, upscale=upscale)
    sounds = {}
    recipe, states = Recipe(load_model(model, folder, device="cpu"), model, request, sources), {}
    for unit, made in recipe.generate():
        states[unit.key] = made.state
        sounds.setdefault(unit.stage.track, []).append(made.sound.samples)
        again = recipe.run(unit, {key: states[key] for key in unit.needs})
        assert again.state == made.state and np.array_equal(again.sound.samples, made.sound.samples)
    whole = np.concatenate(sounds.pop("preview"))
    assert len(whole) == begins(34, fps=7, rate=24000) and sounds
    until = begins(33 * interpolate + 1, fps=7 * interpolate, rate=24000)
    for track, parts in sounds.items():
        assert np.array_equal(np.concatenate(parts), whole[:until]), track
