"""Distillation to few steps: the teacher steps as DDIM does, who goes where it goes errs by nothing, both learn."""

from __future__ import annotations

import random
import shutil

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from longtake.training.bundle import TINY_SHAPES_TURBO, bundle, unbundle
from longtake.training.few_steps import Ladder, QuickChunkStage, QuickFirstChunkStage, few_steps_loss, guided
from longtake.training.first_chunk import SCHEDULE
from longtake.training.recipe import read
from models.loading import BUNDLED, load_pipeline

SCHEDULER = DDIMScheduler(**SCHEDULE)


@pytest.fixture
def ladder() -> Ladder:
    return Ladder(SCHEDULER)


def test_a_step_is_ddims_and_its_velocity_is_found_again(ladder: Ladder) -> None:
    torch.manual_seed(0)
    x, velocity = torch.randn(2, 1, 4, 3, 2, 2)
    scheduler = DDIMScheduler(**SCHEDULE)
    scheduler.set_timesteps(8)
    assert torch.equal(ladder.times[:-1], scheduler.timesteps) and ladder.times[-1] == -1
    for t, after in zip(ladder.times, ladder.times[1:], strict=False):
        ours = ladder.step(x, velocity, t.reshape(1), after.reshape(1))
        assert torch.allclose(ours, scheduler.step(velocity, t, x, eta=0.0).prev_sample, atol=1e-5)
        assert torch.allclose(ladder.leading(x, ours, t.reshape(1), after.reshape(1)), velocity, atol=1e-3)


def test_the_student_s_steps_are_those_of_sampling_in_four(ladder: Ladder) -> None:
    few = DDIMScheduler(**SCHEDULE)
    few.set_timesteps(4)
    times = ladder.draw(200, torch.device("cpu"))
    assert times.shape == (3, 200)
    assert set(times[0].tolist()) == set(few.timesteps.tolist())
    assert set(times[-1].tolist()) == {*few.timesteps.tolist()[1:], -1}


class Knows:
    """Predicts the velocity that leads to these latents, wherever it is asked."""

    def __init__(self, ladder: Ladder, latents: Tensor):
        self.ladder, self.latents = ladder, latents

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        signal, spread = self.ladder._levels(t)
        return (signal * x - self.latents) / spread


def test_who_comes_where_the_teacher_comes_errs_by_nothing_and_others_are_told(ladder: Ladder) -> None:
    torch.manual_seed(0)
    latents = torch.randn(64, 4, 16, 2, 2)
    knows = Knows(ladder, latents)
    assert few_steps_loss(knows, knows, ladder, latents) < 1e-4
    errs = Knows(ladder, latents + 0.5)
    assert few_steps_loss(errs, knows, ladder, latents) > 0.1
    assert few_steps_loss(errs, errs, ladder, latents) < 1e-4  # the teacher may be wrong


def test_a_teacher_whose_two_steps_differ_is_followed_to_where_they_end(ladder: Ladder) -> None:
    torch.manual_seed(0)
    latents, drawn = torch.randn(32, 4, 16, 2, 2), []

    def teacher(x: Tensor, t: Tensor) -> Tensor:
        drawn.append((x, t, torch.randn_like(x)))
        return drawn[-1][2]

    def follows(x: Tensor, t: Tensor) -> Tensor:
        (begun, t_begun, first), (between, t_between, second) = drawn
        assert torch.equal(x, begun) and torch.equal(t, t_begun)
        after = ladder.times[(ladder.times[:, None] == t).int().argmax(0) + 2]
        assert torch.allclose(between, ladder.step(x, first, t, t_between))
        return ladder.leading(x, ladder.step(between, second, t_between, after), t, after)

    assert few_steps_loss(follows, teacher, ladder, latents) < 1e-6


def test_known_frames_stand_at_their_own_noise_levels_and_count_less(ladder: Ladder) -> None:
    torch.manual_seed(0)
    latents, seen = torch.zeros(8, 4, 16, 2, 2), []

    def teacher(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return torch.ones_like(x)

    losses = []
    for known_weight in (1.0, 0.0):
        torch.manual_seed(0)
        student = Knows(ladder, latents)  # right of the known ones, wrong of where the teacher takes the others
        losses.append(few_steps_loss(student, teacher, ladder, latents, known=8, known_weight=known_weight))
    (before, t_before), (between, t_between), *_ = seen
    noise = [x[:, :, :8] / ladder._levels(t)[1] for x, t in ((before, t_before), (between, t_between))]
    assert torch.allclose(*noise, atol=1e-4)
    assert torch.allclose(2 * losses[0], losses[1], rtol=1e-3)


def test_guidance_goes_beyond_the_prompted_branch() -> None:
    predict = guided(lambda x, t: x + 1, lambda x, t: x, scale=3.0)
    assert torch.equal(predict(torch.zeros(1), torch.zeros(1)), torch.full((1,), 3.0))


@pytest.mark.long
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
    beside = tmp_path / "bundled"
    shutil.copytree(BUNDLED / "tiny-shapes", beside / "tiny-shapes")
    bundle(tmp_path / "trained", beside / "quick", TINY_SHAPES_TURBO)
    own = {part.name for part in (beside / "quick").iterdir() if part.is_dir() and not part.is_symlink()}
    assert own == {"first_chunk", "unet", "cam"}  # all else is there already
    quick, slow = load_pipeline(beside / "quick"), load_pipeline("tiny-shapes")
    for name in ("first_chunk", "unet", "cam"):
        pair = zip(getattr(quick, name).parameters(), getattr(slow, name).parameters(), strict=True)
        assert all(torch.allclose(a, b + 0.01, atol=2e-3) for a, b in pair)
    assert all(torch.equal(a, b) for a, b in zip(quick.apm.parameters(), slow.apm.parameters(), strict=True))
