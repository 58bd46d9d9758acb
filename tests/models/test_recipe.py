"""A video is a pure function of its request: whoever makes its units, in whatever order, after whatever stop."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import catalog, state
from models.recipe import Recipe
from models.request import RefineOptions, VideoRequest
from models.units import Stage

MODEL = catalog.find("tiny-shapes")
REQUEST = VideoRequest(
    prompt="a red circle moving right on a black background",
    num_frames=26,
    seed=11,
    steps=2,
    guidance_scale=2.0,
    anchor_guidance_scale=2.0,
)


def video(pipeline, request, stages=(Stage.INITIALIZE, Stage.STREAM)):
    made = [result.frames for unit, result in Recipe(pipeline, MODEL, request).generate() if unit.stage in stages]
    return np.concatenate(made)


@pytest.fixture(scope="module")
def undisturbed(pipeline):
    return video(pipeline, REQUEST)


def test_the_same_request_gives_the_same_bytes(pipeline, undisturbed):
    assert np.array_equal(video(pipeline, REQUEST), undisturbed)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 12},
        {"steps": 3},
        {"guidance_scale": 4.0, "anchor_guidance_scale": 4.0},
        {"anchor_guidance_scale": 5.0},
        {"negative_prompt": "green"},
        {"prompt": "a blue star moving left on a grey background"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_input_of_a_request_takes_effect(pipeline, undisturbed, change):
    assert not np.array_equal(video(pipeline, replace(REQUEST, **change)), undisturbed)


@pytest.mark.parametrize("frames", [1, 7, 16, 17, 24, 25, 41])
@pytest.mark.parametrize("refine", [None, RefineOptions(2, 0.3)])
def test_as_many_frames_come_as_were_asked_for(pipeline, frames, refine):
    request = replace(REQUEST, num_frames=frames, steps=1, refine=refine)
    width = (MODEL.refined_size if refine else MODEL.size).width
    made = video(pipeline, request, (Stage.REFINE,) if refine else (Stage.INITIALIZE, Stage.STREAM))
    assert made.shape == (frames, width, width, 3)


@st.composite
def requests(draw):
    """Any length, refined or not, with a prompt that may change anywhere."""
    frames = draw(st.integers(1, 40))
    return replace(
        REQUEST,
        num_frames=frames,
        seed=draw(st.integers(0, 2**31)),
        steps=draw(st.integers(1, 2)),
        refine=draw(
            st.none()
            | st.builds(RefineOptions, steps=st.integers(1, 3), strength=st.just(0.3), bands=st.integers(1, 3))
        ),
        prompts=draw(st.just(()) | st.tuples(st.tuples(st.integers(0, frames), st.just("a blue star moving up")))),
    )


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests(), order=st.randoms(use_true_random=False))
def test_any_video_is_whole_and_the_same_in_any_order_by_any_workers(pipeline, request, order):
    states, shown = {}, Counter()
    left = list(Recipe(pipeline, MODEL, request).generate())
    made = {unit.key: result.state for unit, result in left}
    for unit, result in left:
        shown[unit.stage.track] += len(result.frames)
        assert all(
            tensor.isfinite().all() for tensor in state.loads(result.state).values() if tensor.is_floating_point()
        )
    assert shown["preview"] == request.num_frames
    assert shown["refined"] == (request.num_frames if request.refine else 0)
    while left:  # another order, each unit by a worker that has nothing but the states
        unit, result = left.pop(
            order.choice([i for i, (unit, _) in enumerate(left) if states.keys() >= set(unit.needs)])
        )
        again = Recipe(pipeline, MODEL, request).run(unit, {key: states[key] for key in unit.needs})
        assert np.array_equal(again.frames, result.frames)
        assert again.state == made[unit.key]
        states[unit.key] = again.state


def test_a_longer_video_begins_with_the_shorter_one(pipeline, undisturbed):
    assert np.array_equal(video(pipeline, replace(REQUEST, num_frames=40))[:26], undisturbed)


def test_a_prompt_takes_over_at_its_chunk_and_no_frame_earlier(pipeline, undisturbed):
    switched = video(pipeline, replace(REQUEST, prompts=((24, "a blue star moving up"),)))
    assert np.array_equal(switched[:24], undisturbed[:24])
    assert not np.array_equal(switched[24:], undisturbed[24:])


def test_the_state_of_a_chunk_does_not_grow_with_the_video(pipeline):
    sizes = [len(r.state) for u, r in Recipe(pipeline, MODEL, replace(REQUEST, num_frames=64, steps=1)).generate()]
    assert len(set(sizes[1:])) == 1
    assert sizes[0] < 2.1 * sizes[1]


def test_what_is_constant_over_steps_is_computed_once_a_chunk(pipeline):
    calls = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, module in (
            ("E_cond", pipeline.cam.frame_embedding),
            ("anchor tokens", pipeline.apm),
            ("mixer", pipeline.unet.apm_mixers[0]),
            ("text keys", pipeline.unet.cross_attentions()[0].to_k),
            ("text keys of CAM", pipeline.cam.cross_attentions()[0].to_k),
        )
    ]
    recipe = Recipe(pipeline, MODEL, replace(REQUEST, steps=6))
    states = {}
    try:
        for unit, result in recipe.generate():
            states[unit.key] = result.state
    finally:
        for hook in hooks:
            hook.remove()
    chunks = sum(unit.stage is Stage.STREAM for unit in recipe.plan)
    assert sorted(calls) == sorted(["E_cond", "anchor tokens", "mixer", "text keys", "text keys of CAM"] * chunks)


def test_states_come_back_bit_for_bit(pipeline):
    _, result = next(iter(Recipe(pipeline, MODEL, REQUEST).generate()))
    assert state.dumps(state.loads(result.state)) == result.state


def test_another_seed_from_a_chunk_on_changes_what_follows_and_nothing_before(pipeline, undisturbed):
    branched = video(pipeline, replace(REQUEST, seeds=((16, 99),)))
    assert np.array_equal(branched[:16], undisturbed[:16])
    assert not np.array_equal(branched[16:], undisturbed[16:])


def test_refinement_follows_the_seed_of_each_frame(pipeline):
    def refined(seeds):
        request = replace(REQUEST, num_frames=41, refine=RefineOptions(steps=2, strength=0.5), seeds=seeds)
        recipe = Recipe(pipeline, MODEL, request)
        preview = np.zeros((41, 64, 64, 3), np.uint8)
        return recipe.refiner().refine(preview)

    plain, branched = refined(()), refined(((40, 99),))  # the last frame is in the last window alone
    assert np.array_equal(branched[:16], plain[:16])  # a window tells its neighbour at every step
    assert not np.array_equal(branched[40:], plain[40:])
