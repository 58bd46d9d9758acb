"""Distillation to few steps: the teacher steps as DDIM does, who knows the truth errs by nothing, both stages learn."""

from __future__ import annotations

import random

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from longtake.training.bundle import TINY_SHAPES_TURBO, bundle, unbundle
from longtake.training.few_steps import Ladder, QuickChunkStage, QuickFirstChunkStage, consistency_loss, guided
from longtake.training.first_chunk import SCHEDULE
from longtake.training.recipe import read
from models.loading import BUNDLED, load_pipeline

SCHEDULER = DDIMScheduler(**SCHEDULE)


@pytest.fixture
def ladder() -> Ladder:
    return Ladder(SCHEDULER)


def test_a_step_is_ddims(ladder: Ladder) -> None:
    torch.manual_seed(0)
    x, velocity = torch.randn(2, 1, 4, 3, 2, 2)
    scheduler = DDIMScheduler(**SCHEDULE)
    scheduler.set_timesteps(20)
    assert torch.equal(ladder.times[:-1], scheduler.timesteps) and ladder.times[-1] == -1
    for t, after in zip(ladder.times, ladder.times[1:], strict=False):
        ours = ladder.step(x, velocity, t.reshape(1), after.reshape(1))
        assert torch.allclose(ours, scheduler.step(velocity, t, x, eta=0.0).prev_sample, atol=1e-5)


def test_the_times_of_four_steps_are_among_those_that_are_learned(ladder: Ladder) -> None:
    few = DDIMScheduler(**SCHEDULE)
    few.set_timesteps(4)
    assert set(few.timesteps.tolist()) <= set(ladder.times.tolist())


class Knows:
    """Predicts the velocity that leads to these latents, wherever it is asked."""

    def __init__(self, ladder: Ladder, latents: Tensor):
        self.ladder, self.latents = ladder, latents

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        signal, spread = self.ladder._levels(t)
        return (signal * x - self.latents) / spread


def test_who_knows_the_truth_errs_by_nothing_and_others_are_told(ladder: Ladder) -> None:
    torch.manual_seed(0)
    latents = torch.randn(64, 4, 16, 2, 2)
    knows = Knows(ladder, latents)
    told = {"known": 8, "known_weight": 0.25}
    assert consistency_loss(knows, knows, ladder, latents, **told) < 1e-3
    errs = Knows(ladder, latents + 0.5)
    assert consistency_loss(errs, knows, ladder, latents, **told) > 1e-2  # it is told at the last step
    assert consistency_loss(errs, errs, ladder, latents) < 1e-3  # and agrees with a teacher who errs as it does


def test_known_frames_stand_at_their_own_noise_levels(ladder: Ladder) -> None:
    latents, seen = torch.zeros(8, 4, 16, 2, 2), []

    def student(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return torch.zeros_like(x)

    consistency_loss(student, lambda x, t: torch.ones_like(x), ladder, latents, known=8)
    (after, t_after), (before, t_before) = seen
    noise = [x[:, :, :8] / ladder._levels(t)[1] for x, t in ((after, t_after), (before, t_before))]
    later = t_after > 0
    assert torch.allclose(noise[0][later], noise[1][later], atol=1e-4)
    assert not torch.allclose(after[:, :, 8:], before[:, :, 8:], atol=1e-2)


def test_guidance_goes_beyond_the_prompted_branch() -> None:
    predict = guided(lambda x, t: x + 1, lambda x, t: x, scale=3.0)
    assert torch.equal(predict(torch.zeros(1), torch.zeros(1)), torch.full((1,), 3.0))


@pytest.mark.timeout(600)
def test_both_stages_learn_and_leave_their_teacher_alone(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.set_num_threads(1)
    unbundle(BUNDLED / "tiny-shapes", tmp_path / "trained")
    recipe, rng = read("tiny-shapes-turbo").stages, random.Random(0)
    for build, told in ((QuickFirstChunkStage, {}), (QuickChunkStage, {"batch": 2})):
        stage = build(tmp_path / "trained", recipe[build.name].model_copy(update=told))
        stage.loss(stage.draw(rng, 0.0), rng, 0.0).backward()
        learning = list(stage.learner.parameters())
        assert all(weight.grad is not None for weight in learning), stage.name
        assert not any(weight.requires_grad for network in stage.frozen for weight in network.parameters())
        with torch.no_grad():
            for weight in learning:
                weight.add_(0.01)
        stage.finish(stage.learner)
        again = build(tmp_path / "trained", recipe[build.name])
        assert all(torch.equal(a, b) for a, b in zip(learning, again.learner.parameters(), strict=True))
    bundle(tmp_path / "trained", tmp_path / "quick", TINY_SHAPES_TURBO)
    quick, slow = load_pipeline(tmp_path / "quick"), load_pipeline("tiny-shapes")
    for name in ("first_chunk", "unet", "cam"):
        pair = zip(getattr(quick, name).parameters(), getattr(slow, name).parameters(), strict=True)
        assert all(torch.allclose(a, b + 0.01, atol=2e-3) for a, b in pair)
    assert all(torch.equal(a, b) for a, b in zip(quick.apm.parameters(), slow.apm.parameters(), strict=True))
