"""The checkpoint's own first chunk, by a scheduler of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler

from models import catalog, noise, pixels
from models.recipe import Recipe
from models.request import VideoRequest
from models.streaming_t2v.text import encode

MODEL = replace(catalog.find("tiny-shapes"), first_chunk_guidance_scale=9.0, eta=1.0, hold_known_frames=False)
SCALE = MODEL.default_guidance_scale
REQUEST = VideoRequest(
    prompt="a red circle moving right on a black background", num_frames=16, seed=3, steps=6, guidance_scale=SCALE,
    anchor_guidance_scale=SCALE,
)  # fmt: skip
SCHEDULE = DPMSolverMultistepScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


@pytest.fixture
def with_schedule(pipeline, monkeypatch):
    def use(scheduler):
        monkeypatch.setattr(pipeline, "first_chunk_scheduler", scheduler)
        return pipeline

    return use


def first_chunk(pipeline, request=REQUEST, model=MODEL):
    return next(iter(Recipe(pipeline, model, request).generate()))[1].frames


@torch.no_grad()
def plain_loop(parts, scheduler, scale, steps):
    """As a textbook has it: noise, network twice a step, guidance, step."""
    tokens = parts.unet.config.num_text_tokens
    text, null = (encode(parts.tokenizer, parts.text_encoder, [p], tokens) for p in (REQUEST.prompt, ""))
    x = noise.gaussian((4, 16, 8, 8), seed=REQUEST.seed, stage="stream", index=0)[None]
    scheduler = type(scheduler).from_config(scheduler.config)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        with_text = parts.first_chunk(x, t, text.tokens, timestep_cond=text.pooled).sample
        without = parts.first_chunk(x, t, null.tokens, timestep_cond=null.pooled).sample
        x = scheduler.step(without + scale * (with_text - without), t, x).prev_sample
    return pixels.decode(parts.vae, x[0], batch=8)


def test_dpm_solver_at_guidance_9_is_diffusers_own(with_schedule):
    parts = with_schedule(SCHEDULE)
    want = plain_loop(parts, SCHEDULE, scale=9.0, steps=6)
    got = first_chunk(parts)
    assert np.abs(got.astype(int) - want).max() <= 1  # the two branches in one batch round otherwise than one by one
    assert np.abs(got.astype(int) - plain_loop(parts, SCHEDULE, scale=SCALE, steps=6)).max() > 1


def test_what_a_request_asks_for_holds_for_the_first_chunk_too(with_schedule):
    parts = with_schedule(SCHEDULE)
    asked = first_chunk(parts, replace(REQUEST, guidance_scale=4.0))
    assert np.abs(asked.astype(int) - plain_loop(parts, SCHEDULE, scale=4.0, steps=6)).max() <= 1
    model = replace(MODEL, first_chunk_steps=2)
    by_default = first_chunk(parts, replace(REQUEST, steps=MODEL.default_steps), model)
    assert np.abs(by_default.astype(int) - plain_loop(parts, SCHEDULE, scale=9.0, steps=2)).max() <= 1


def test_eta_has_no_effect_on_dpm_solver(with_schedule):
    parts = with_schedule(SCHEDULE)
    assert np.array_equal(first_chunk(parts), first_chunk(parts, model=replace(MODEL, eta=0.0)))


@pytest.mark.parametrize("scheduler", [EulerAncestralDiscreteScheduler(), SCHEDULE], ids=lambda s: type(s).__name__)
def test_the_same_request_gives_the_same_frames_by_any_scheduler(with_schedule, scheduler):
    parts = with_schedule(scheduler)
    frames = first_chunk(parts)
    torch.manual_seed(99)
    assert np.array_equal(first_chunk(parts), frames)
    assert not np.array_equal(first_chunk(parts, replace(REQUEST, seed=4)), frames)


def test_a_scheduler_of_its_own_changes_the_first_chunk_alone(with_schedule):
    plain = first_chunk(with_schedule(None))
    assert not np.array_equal(first_chunk(with_schedule(SCHEDULE)), plain)
    same = DDIMScheduler.from_config(with_schedule(None).scheduler.config)
    model = replace(MODEL, eta=0.0, first_chunk_guidance_scale=None)
    assert np.array_equal(first_chunk(with_schedule(same), model=model), first_chunk(with_schedule(None), model=model))


def test_it_can_be_stopped_within_a_step(with_schedule):
    def stop(step, steps):
        assert (step, steps) == (1, 6)
        raise InterruptedError

    recipe = Recipe(with_schedule(SCHEDULE), MODEL, REQUEST)
    with pytest.raises(InterruptedError):
        recipe.run(recipe.plan[0], {}, stop)
