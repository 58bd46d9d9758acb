"""Helios with a pyramid, chunk by chunk: the frames of diffusers' pipeline, distilled or not."""

from __future__ import annotations

from itertools import count

import diffusers.pipelines.helios.pipeline_helios_pyramid as reference
import numpy as np
import pytest
import torch

from models import noise, state
from models.families import helios_pyramid
from models.families.family import Facts
from models.model import CatalogError, Size
from models.streamers.helios_pyramid import CORRECTION, UNMOVED, HeliosPyramid
from tests.models.families.test_helios import SEED, chunk_by_chunk, in_one_call
from tests.support.tiny import helios_pyramid as tiny
from tests.support.tiny import streamed

STAGES = 3


@pytest.fixture(scope="module", params=[True, False], ids=["distilled", "mid"])
def made(request, tmp_path_factory):
    """A checkpoint: whether it is distilled, its pipeline, and its entry in the catalogue."""
    folder = tiny.build(tmp_path_factory.mktemp("helios") / "pyramid", is_distilled=request.param)
    family = helios_pyramid.FAMILY
    return request.param, streamed.pipeline(family, folder), streamed.model(family, folder, tiny.SIZE, **tiny.OPTIONS)


@pytest.fixture(scope="module")
def distilled(made):
    return made[0]


@pytest.fixture(scope="module")
def pipeline(made):
    return made[1]


@pytest.fixture(scope="module")
def model(made):
    return made[2]


def asked(model, distilled, **changes):
    """Three chunks in 7 steps, which no number of stages divides; distilled weights are not guided."""
    return streamed.brief(model, **{"steps": 7, **({"guidance_scale": 1.0} if distilled else {}), **changes})


def with_our_corrections(monkeypatch, chunks):
    """diffusers draws what it adds between two stages by `torch.randn`."""
    own, draws = torch.randn, (chunk * STAGES + stage for chunk in range(chunks) for stage in range(1, STAGES))

    def randn(*shape, **options):
        if len(shape) != 2:
            return own(*shape, **options)
        return noise.gaussian(shape, seed=SEED, stage=CORRECTION, index=next(draws))

    monkeypatch.setattr(torch, "randn", randn)
    return draws


@pytest.mark.parametrize("image", [None, streamed.picture(1)], ids=["text", "picture"])
def test_chunk_by_chunk_equals_the_pipeline_in_one_call(made, monkeypatch, image):
    distilled, pipeline, model = made
    brief = asked(model, distilled, image=image)
    ours = chunk_by_chunk(HeliosPyramid(pipeline, brief), brief, monkeypatch)
    with monkeypatch.context() as patch:
        draws, forward = with_our_corrections(patch, 3), pipeline.transformer.forward
        patch.setattr(  # diffusers views as one row what its network returns in another order
            pipeline.transformer, "forward", lambda *a, **k: (forward(*a, **k)[0].contiguous(),)
        )
        theirs = in_one_call(
            pipeline, brief, monkeypatch, reference, pyramid_num_inference_steps_list=[3, 2, 2],
            is_amplify_first_chunk=distilled,
        )  # fmt: skip
        assert next(draws, None) is None
    assert len(ours) == 27 and len(theirs) == 25  # the pipeline cuts the last frames to four and one
    assert np.abs(ours[:25] - theirs).max() < 1e-4 and theirs.std() > 0.01


def test_the_state_stays_as_large_as_it_is_and_a_chunk_is_the_same_from_it_every_time(made):
    distilled, pipeline, model = made
    streamer = HeliosPyramid(pipeline, asked(model, distilled, steps=1, guidance_scale=1.0))
    lefts = [state.dumps(left) for _, left in streamed.chunks(streamer, model, 10)]
    assert len({len(left) for left in lefts}) == 1
    unit, before = streamed.unit(model, 10), state.loads(lefts[-1])
    one, other = (
        HeliosPyramid(pipeline, asked(model, distilled)).go_on(unit, before, lambda *_: None) for _ in range(2)
    )
    assert np.array_equal(one[0], other[0]) and state.dumps(one[1]) == state.dumps(other[1])


def test_the_network_sees_a_quarter_of_the_sides_then_half_then_whole(made, monkeypatch):
    distilled, pipeline, model = made
    seen, told, whole = [], [], pipeline.transformer.forward
    monkeypatch.setattr(
        pipeline.transformer, "forward", lambda x, *a, **k: seen.append(tuple(x.shape)) or whole(x, *a, **k)
    )
    streamer = HeliosPyramid(pipeline, asked(model, distilled))
    list(streamed.chunks(streamer, model, 2, lambda *step: told.append(step)))
    first, later = ([6, 4, 4], [3, 2, 2]) if distilled else ([3 - UNMOVED, 2, 2], [3 - UNMOVED, 2, 2])
    sides = [side for each in (first, later) for side, steps in zip((2, 4, 8), each, strict=True) for _ in range(steps)]
    batch = 1 if distilled else 2
    assert seen == [(batch, 4, 3, side, side) for side in sides]
    steps = count(1)
    assert told[:-7] == [(next(steps), 14 if distilled else 7) for _ in range(len(told) - 7)]
    assert told[-7:] == [(done, 7) for done in range(1, 8)]


def test_the_first_chunk_takes_twice_the_steps_only_where_that_was_left_on(pipeline, model, distilled):
    told = []
    options = {**dict(model.options), "amplify_first_chunk": False}
    plain = helios_pyramid.FAMILY.describe("tiny", model.checkpoint, FACTS[distilled], sizes=(tiny.SIZE,), **options)
    HeliosPyramid(pipeline, asked(plain, distilled)).begin(lambda *step: told.append(step))
    assert told[-1] == (7, 7)


def test_what_is_added_between_two_stages_has_unit_deviation_and_sums_to_nothing_in_a_patch(pipeline, model, distilled):
    streamer = HeliosPyramid(pipeline, asked(model, distilled))
    added = streamer._correction(torch.zeros(1, 4, 9, 32, 32), 1 / 3, 0, 0)
    assert abs(float(added.std()) - 1) < 0.02
    patches = added.unfold(3, 2, 2).unfold(4, 2, 2).sum((-1, -2))
    assert float(patches.abs().max()) < 0.01


@pytest.mark.parametrize(
    ("steps", "each"), [(6, [2, 2, 2]), (7, [3, 2, 2]), (8, [3, 3, 2]), (60, [20, 20, 20]), (1, [1, 1, 1])]
)
def test_steps_are_shared_out_evenly(steps, each):
    assert helios_pyramid.steps_of(steps, STAGES) == each


def facts(distilled, solver, **config):
    index = {
        "_class_name": "HeliosPyramidPipeline",
        "is_distilled": distilled,
        "scheduler": ["diffusers", solver],
    }
    vae = {"scale_factor_temporal": 4, "scale_factor_spatial": 8}
    return Facts(index, {"vae": vae, "scheduler": {"stages": 3}, "transformer": {}, **config})


FACTS = {True: facts(True, "HeliosDMDScheduler"), False: facts(False, "HeliosScheduler")}


@pytest.mark.parametrize(("distilled", "steps", "scale", "most"), [(True, 6, 1.0, 1.0), (False, 60, 5.0, 30.0)])
def test_the_releases_are_described_as_they_were_made(distilled, steps, scale, most):
    model = helios_pyramid.FAMILY.describe("helios", "BestWishYsh/Helios", FACTS[distilled])
    assert (model.chunk_frames, model.new_frames, model.fps, str(model.size)) == (33, 33, 24, "640x384")
    assert (model.default_steps, model.default_guidance_scale, model.max_guidance_scale) == (steps, scale, most)
    assert model.inputs == ("text", "image") and model.licence == "Apache-2.0"


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (facts(True, "HeliosScheduler"), {}, "its scheduler is HeliosScheduler"),
        (facts(False, "HeliosDMDScheduler"), {}, "for distilled weights and for no others"),
        (facts(False, "HeliosScheduler", scheduler={"stages": 1}), {}, "no pyramid"),
        (facts(False, "HeliosScheduler", transformer={"has_multi_term_memory_patch": False}), {}, "no patches"),
        (FACTS[True], {"sizes": (Size(640, 352),)}, "multiples of 64"),
        (FACTS[True], {"history_sizes": "16"}, "three numbers"),
    ],
)
def test_what_cannot_be_streamed_is_refused_with_the_reason(given, options, said):
    with pytest.raises(CatalogError, match=said):
        helios_pyramid.FAMILY.describe("helios", "here", given, **options)
