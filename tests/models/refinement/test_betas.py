"""Promises of refiners that are no MS-Vid2Vid-XL: any UNet of video with an ordinary schedule of betas refines."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UNet3DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from models import catalog
from models.model import CheckpointError, Size
from models.recipe import Recipe
from models.refinement.betas import levels_of
from models.refinement.schedule import LogSNRCosineSchedule
from models.refinement.solver import advance, solver_steps
from models.request import RefineOptions, VideoRequest
from models.units import Stage
from tests.support.checkpoint import wake_zeros

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
MODEL = replace(catalog.find("tiny-shapes"), refine_guidance_scale=7.5, refine_guidance_rescale=0.2)
REQUEST = VideoRequest(
    prompt="a red circle moving right on a black background", num_frames=17, seed=2, steps=1, guidance_scale=1.0,
    anchor_guidance_scale=1.0, refine=RefineOptions(2, 0.6),
)  # fmt: skip


@pytest.mark.parametrize("kind", [DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler])
def test_the_levels_are_those_by_which_diffusers_adds_noise(kind):
    scheduler = kind(**BETAS)
    levels = levels_of(scheduler)
    x0, eps = torch.randn(2, 4, 3, 5, 5), torch.randn(2, 4, 3, 5, 5)
    for t in (0, 250, 599, 999):
        noised = DDPMScheduler(**BETAS).add_noise(x0, eps, torch.tensor([t, t]))
        assert torch.allclose(levels.diffuse(x0, eps, t), noised, atol=1e-5)
        assert torch.allclose(levels.clean(noised, eps, t), x0, atol=1e-3)


def test_the_start_step_is_a_share_of_its_own_levels():
    levels = levels_of(DDPMScheduler(num_train_timesteps=500, **BETAS))
    assert levels.timesteps(noise_levels=300, steps=3)[0] == 299


def test_gaussian_data_come_out_with_their_own_spread():
    """For data N(mean, spread^2) the best epsilon is known, and so is what sampling with it must give."""
    mean, spread, levels = 0.7, 0.4, levels_of(DDIMScheduler(**BETAS))
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(20_000, generator=generator)  # noqa: E731
    x = levels.diffuse(mean + spread * draw(), draw(), 599)
    history = torch.zeros_like(x)
    for step in solver_steps(levels, noise_levels=600, steps=150):
        alpha, sigma = levels.level(step.timestep)
        epsilon = sigma * (x - alpha * mean) / (alpha**2 * spread**2 + sigma**2)
        x0 = levels.clean(x, epsilon, step.timestep)
        x = advance(step, x, x0, history, draw() if step.spread else None)
        history = x0
    assert x.mean() == pytest.approx(mean, abs=0.02) and x.std() == pytest.approx(spread, abs=0.02)


def test_a_schedule_without_betas_is_refused_by_name():
    with pytest.raises(CheckpointError, match="FlowMatchEulerDiscreteScheduler; only one with betas"):
        levels_of(FlowMatchEulerDiscreteScheduler())
    with pytest.raises(CheckpointError, match="prediction_type is 'sample'"):
        levels_of(DDPMScheduler(prediction_type="sample"))
    ours = LogSNRCosineSchedule()
    assert levels_of(ours) is ours


@pytest.fixture
def refining(pipeline, monkeypatch):
    """The checkpoint with diffusers' own UNet3D as its refiner, which says epsilon."""
    torch.manual_seed(8)
    network = UNet3DConditionModel(
        sample_size=8,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=pipeline.text_encoder.config.hidden_size,
    ).eval()
    wake_zeros(network)
    monkeypatch.setattr(pipeline, "refiner", network)
    monkeypatch.setattr(pipeline, "refiner_schedule", DDIMScheduler(**BETAS, clip_sample=False))
    return pipeline


def refined(pipeline, model=MODEL, **changes):
    made = Recipe(pipeline, model, replace(REQUEST, **changes)).generate()
    return np.concatenate([result.frames for unit, result in made if unit.stage is Stage.REFINE])


@pytest.mark.parametrize("num_frames", [1, 5, 17, 25, 41])
def test_it_refines_every_number_of_frames(refining, num_frames):
    frames = refined(refining, num_frames=num_frames)
    assert frames.shape == (num_frames, 128, 128, 3)
    assert np.array_equal(refined(refining, num_frames=num_frames), frames)


@pytest.mark.parametrize(
    ("model", "request_"),
    [
        ({}, {"refine": RefineOptions(2, 0.3)}),
        ({}, {"refine": RefineOptions(3, 0.6)}),
        ({"refine_guidance_rescale": 0.0}, {}),
        ({"refine_prompt_suffix": " slowly"}, {}),
        ({"refine_negative_prompt": "a blue star"}, {}),
    ],
    ids=["start step", "steps", "guidance rescale", "positive prompt", "negative prompt"],
)
def test_start_step_prompts_and_rescale_take_effect(refining, model, request_):
    plain, changed = refined(refining), refined(refining, replace(MODEL, **model), **request_)
    assert not np.array_equal(plain, changed)


def test_a_requests_own_negative_prompt_counts_more_than_the_refiners(refining):
    model = replace(MODEL, refine_negative_prompt="a blue star")
    asked = {"negative_prompt": "a green square"}
    assert np.array_equal(refined(refining, model, **asked), refined(refining, **asked))


def test_epsilon_and_velocity_are_not_taken_for_each_other(refining, monkeypatch):
    said_epsilon = refined(refining)
    monkeypatch.setattr(refining, "refiner_schedule", DDIMScheduler(**BETAS, prediction_type="v_prediction"))
    assert not np.array_equal(refined(refining), said_epsilon)


def test_the_published_start_is_not_put_on_other_networks(refining):
    published, consistent = (replace(MODEL, refine_start=start) for start in ("published", "consistent"))
    assert np.array_equal(refined(refining, published), refined(refining, consistent))


@pytest.mark.parametrize("size", ["40x24", "80x48"])
def test_a_wide_video_is_refined_as_wide_as_it_is_and_no_bars_are_denoised(refining, size):
    wide = (Size(40, 24), Size(80, 48))
    model = replace(MODEL, more_sizes=(wide,)).at(size)
    seen = []
    hook = refining.refiner.conv_in.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[-2:]))
    frames = refined(refining, model)
    hook.remove()
    assert frames.shape == (17, 48, 80, 3) and set(seen) == {(6, 10)}
