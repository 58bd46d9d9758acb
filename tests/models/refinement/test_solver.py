"""Promises of DPM-Solver++(2M) SDE, checked where the answer is known."""

import pytest
import torch

from models.refinement.schedule import LogSNRCosineSchedule
from models.refinement.solver import advance, solver_steps, start_scale

SCHEDULE = LogSNRCosineSchedule()


def solve(steps, x, denoise, noise):
    history = torch.zeros_like(x)
    for s, step in enumerate(steps):
        x0 = denoise(x, step.timestep)
        x = advance(step, x, x0, history, noise(s) if step.spread else None)
        history = x0
    return x


@pytest.mark.parametrize("levels", [120, 600, 1000])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_network_that_knows_the_answer_is_believed(levels, eta):
    answer = torch.randn(4, 6)
    steps = solver_steps(SCHEDULE, noise_levels=levels, steps=9, eta=eta)
    solved = solve(steps, torch.randn(4, 6), lambda x, t: answer, lambda s: torch.randn(4, 6))
    assert torch.equal(solved, answer)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("levels", [600, 1000])
def test_gaussian_data_come_out_with_their_own_spread(eta, levels):
    """For data N(mean, spread^2) the best denoiser is known, and so is what sampling with it must give."""
    mean, spread = 0.7, 0.4
    generator = torch.Generator().manual_seed(0)
    draw = lambda *_: torch.randn(20_000, generator=generator)  # noqa: E731

    def denoise(x, t):
        alpha, sigma = SCHEDULE.level(t)
        gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
        return mean + gain * (x - alpha * mean)

    x = SCHEDULE.diffuse(mean + spread * draw(), draw(), levels - 1)
    solved = solve(solver_steps(SCHEDULE, noise_levels=levels, steps=200, eta=eta), x, denoise, draw)
    assert solved.mean() == pytest.approx(mean, abs=0.02)
    assert solved.std() == pytest.approx(spread, abs=0.02)


def test_every_step_keeps_the_variance_of_pure_noise_in_hand():
    """With x0 = 0 and x at sigma_s, a stochastic step leaves exactly sigma_t."""
    steps = solver_steps(SCHEDULE, noise_levels=600, steps=30)
    sigma = SCHEDULE.level(599)[1]
    for s, step in enumerate(steps[:-1]):
        after = (step.keep**2 * sigma**2 + step.spread**2) ** 0.5
        lam = SCHEDULE.half_logsnr(SCHEDULE.timesteps(600, 30)[s + 1])
        assert after == pytest.approx((1 + torch.tensor(2 * lam).exp().item()) ** -0.5, rel=1e-6)
        sigma = after


def test_the_update_mixes_no_frames():
    step = solver_steps(SCHEDULE, noise_levels=600, steps=30)[4]
    x, x0, history, noise = torch.randn(4, 4, 24, 5, 7)  # four of [C, F, H, W]
    whole = advance(step, x, x0, history, noise)
    parts = [
        advance(step, x[:, a:b], x0[:, a:b], history[:, a:b], noise[:, a:b]) for a, b in ((0, 1), (1, 12), (12, 24))
    ]
    assert torch.equal(whole, torch.cat(parts, dim=1))


def test_the_published_start_is_an_option():
    assert start_scale(SCHEDULE, 600) == pytest.approx(0.9724, abs=1e-4)
    assert start_scale(SCHEDULE, 600, "consistent") == 1
    with pytest.raises(ValueError, match="published or consistent"):
        start_scale(SCHEDULE, 600, "other")
