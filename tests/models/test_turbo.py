"""What turbo leaves out: nothing unless it is said, and what is said, counted call by call."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import catalog
from models.loading import load_pipeline
from models.recipe import Recipe
from models.request import RefineOptions, VideoRequest
from models.streaming_t2v.unet import Deep
from models.turbo import Turbo
from tests.support import checkpoint

MODEL = catalog.find("tiny-shapes")
STEPS = 6
REQUEST = VideoRequest("a red circle moving right on a black background", 24, 7, STEPS, 2.0, 2.0)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "random-shapes"
    checkpoint.make(folder)
    return load_pipeline(folder, device="cpu")


@pytest.fixture
def calls(pipeline, monkeypatch):
    """How many samples each network was asked for, of all levels or of the first."""
    counted = Counter()
    for name, network in (("first", pipeline.first_chunk), ("unet", pipeline.unet), ("cam", pipeline.cam)):
        real = network._down

        def down(x, time, context, frames, levels=None, name=name, real=real):
            counted[name, "whole" if levels is None else "shallow"] += context.keys[0].shape[0]
            return real(x, time, context, frames, levels)

        monkeypatch.setattr(network, "_down", down)
    return counted


def video(pipeline, turbo):
    """The frames of the first chunk and of the one after it."""
    first, second = Recipe(pipeline, MODEL, replace(REQUEST, turbo=turbo)).generate()
    return first[1].frames, second[1].frames


def chunk(pipeline, turbo):
    return video(pipeline, turbo)[1]


def of_chunks(calls):
    """Without those of the first chunk."""
    return {asked: count for asked, count in calls.items() if asked[0] != "first"}


def test_without_it_every_step_is_whole_and_guided(pipeline, calls):
    plain = chunk(pipeline, Turbo())
    assert calls == {(network, "whole"): 2 * STEPS for network in ("first", "unet", "cam")}
    assert np.array_equal(plain, list(Recipe(pipeline, MODEL, REQUEST).generate())[1][1].frames)


@pytest.mark.parametrize(
    ("turbo", "expected"),
    [
        (Turbo(guide_to=0.5), {("unet", "whole"): 6 + 3, ("cam", "whole"): 6 + 3}),
        (Turbo(guide_from=0.5), {("unet", "whole"): 3 + 6, ("cam", "whole"): 3 + 6}),
        (Turbo(memory_every=2), {("unet", "whole"): 12, ("cam", "whole"): 8}),  # steps 0, 2, 4 and the last
        (
            Turbo(deep_every=3),
            {("unet", "whole"): 6, ("unet", "shallow"): 6, ("cam", "whole"): 6, ("cam", "shallow"): 6},
        ),
        (
            Turbo(deep_every=2, memory_every=2),
            {("unet", "whole"): 8, ("unet", "shallow"): 4, ("cam", "whole"): 8},
        ),
        (Turbo(memory_every=9, deep_every=9), {("unet", "whole"): 4, ("unet", "shallow"): 8, ("cam", "whole"): 4}),
    ],
    ids=str,
)  # fmt: skip
def test_each_option_leaves_out_what_it_says(pipeline, calls, turbo, expected):
    made = chunk(pipeline, turbo)
    assert of_chunks(calls) == expected
    assert not np.array_equal(made, chunk(pipeline, Turbo()))


@pytest.mark.parametrize(
    ("turbo", "expected"),
    [
        (Turbo(guide_to=0.5), {("first", "whole"): 6 + 3}),
        (Turbo(deep_every=3), {("first", "whole"): 6, ("first", "shallow"): 6}),
        (Turbo(solver="unipc"), {("first", "whole"): 12}),
    ],
    ids=str,
)
def test_the_first_chunk_leaves_out_as_much(pipeline, calls, turbo, expected):
    first, _ = video(pipeline, turbo)
    assert {asked: count for asked, count in calls.items() if asked[0] == "first"} == expected
    assert not np.array_equal(first, video(pipeline, Turbo())[0])


def test_refinement_is_guided_in_the_same_part_of_its_steps(pipeline, monkeypatch):
    asked, real = [], pipeline.refiner.forward

    def forward(*given, **more):
        asked.append(len(more["encoder_hidden_states"]))
        return real(*given, **more)

    monkeypatch.setattr(pipeline.refiner, "forward", forward)
    request = replace(REQUEST, num_frames=16, refine=RefineOptions(4, 0.5), turbo=Turbo(guide_to=0.5))
    *_, refined = Recipe(pipeline, MODEL, request).generate()
    assert asked == [2, 2, 1, 1] and refined[1].frames.shape == (16, 128, 128, 3)


@pytest.mark.parametrize("solver", ["dpm++", "unipc"])
def test_another_solver_makes_other_frames_of_the_same_known_ones(pipeline, solver):
    made = chunk(pipeline, Turbo(solver=solver))
    assert made.shape == (8, 64, 64, 3) and not np.array_equal(made, chunk(pipeline, Turbo()))


@torch.no_grad()
def test_where_nothing_changes_between_steps_the_kept_features_are_those_anew(pipeline):
    """The same latents at the same timestep: a shallow evaluation equals a whole one, bit for bit."""
    unet, cam, deep = pipeline.unet, pipeline.cam, Deep()
    config = unet.config
    torch.manual_seed(0)
    tokens = torch.randn(1, config.num_text_tokens, config.cross_attention_dim)
    pooled = torch.randn(1, config.time_cond_proj_dim) if config.time_cond_proj_dim else None
    embedded = cam.embed(torch.randn(1, 8, 3, 64, 64))
    x, known = (torch.randn(1, 4, frames, *embedded.shape[-2:]) for frames in (16, 8))
    planes = {"known": known} if config.known_planes else {}

    def ask(memory, deep=None):
        return unet(x, 500, unet.context(tokens), pooled, memory, deep=deep, **planes).sample

    def remember(shallow=False):
        return cam(x, 500, cam.context(tokens), embedded, pooled, shallow)

    whole = ask(remember())
    assert torch.equal(whole, ask(remember(), deep))
    assert torch.equal(whole, ask(remember(shallow=True), deep)) and remember(shallow=True).middle is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"solver": "euler"}, "ddim, dpm.., unipc"),
        ({"guide_from": 0.6, "guide_to": 0.5}, "in that order"),
        ({"guide_to": float("nan")}, "in that order"),
        ({"memory_every": 0}, "memory_every is 0; 1 to 10"),
        ({"deep_every": 11}, "deep_every is 11; 1 to 10"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        replace(Turbo(), **wrong)
