"""Promises of the refiner's noise schedule."""

import math

import pytest
import torch

from models.refinement.schedule import LogSNRCosineSchedule


@pytest.fixture
def schedule():
    return LogSNRCosineSchedule()


def test_noise_only_grows_and_ends_in_pure_noise(schedule):
    assert (schedule.sigmas.diff() >= 0).all()
    assert schedule.sigmas[-1] == 1 and schedule.alphas[-1] == 0
    assert torch.allclose(schedule.sigmas**2 + schedule.alphas**2, torch.ones(1000))


def test_the_published_start_keeps_little_signal(schedule):
    alpha, sigma = schedule.level(599)
    assert sigma == pytest.approx(0.9724, abs=1e-4) and alpha == pytest.approx(0.2335, abs=1e-4)


def test_timesteps_trail_and_skip_the_last_but_one(schedule):
    timesteps = schedule.timesteps(noise_levels=600, steps=30)
    assert len(timesteps) == 30
    assert timesteps[0] == 599
    assert timesteps[-1] == pytest.approx(599 - 29 * 600 / 31)  # one stride further, 18.35, is left out


def test_a_shorter_schedule_is_the_same_curve(schedule):
    short = LogSNRCosineSchedule(num_train_timesteps=334)  # every third of 1000
    assert torch.allclose(short.sigmas, schedule.sigmas[::3], atol=1e-5)


@pytest.mark.parametrize("levels, steps", [(1, 1), (1001, 30), (600, 0), (30, 30)])
def test_an_impossible_wish_is_refused_by_name(schedule, levels, steps):
    with pytest.raises(ValueError, match=r"(noise_levels|steps) is"):
        schedule.timesteps(levels, steps)


def test_epsilon_cannot_start_at_pure_noise():
    schedule = LogSNRCosineSchedule(prediction_type="epsilon")
    assert schedule.timesteps(999, 8)
    with pytest.raises(ValueError, match="pure noise"):
        schedule.timesteps(1000, 8)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "epsilon"])
def test_what_the_network_learns_gives_the_clean_video_back(prediction_type):
    schedule = LogSNRCosineSchedule(prediction_type=prediction_type)
    x0, eps = torch.randn(2, 4, 3, 5, 5), torch.randn(2, 4, 3, 5, 5)
    for t in (3, 250, 599):
        x = schedule.diffuse(x0, eps, t)
        assert torch.allclose(schedule.clean(x, schedule.target(x0, eps, t), t), x0, atol=1e-4)


def test_each_of_a_batch_may_have_its_own_timestep(schedule):
    x0, eps = torch.randn(2, 4, 3, 5, 5), torch.randn(2, 4, 3, 5, 5)
    together = schedule.diffuse(x0, eps, torch.tensor([10, 700]))
    apart = [schedule.diffuse(x0[i], eps[i], t) for i, t in enumerate((10, 700))]
    assert torch.equal(together, torch.stack(apart))


def test_between_whole_timesteps_the_log_snr_is_linear(schedule):
    ends = schedule.half_logsnr(300), schedule.half_logsnr(301)
    assert schedule.half_logsnr(300.25) == pytest.approx(0.75 * ends[0] + 0.25 * ends[1])
    assert schedule.half_logsnr(999) == schedule.half_logsnr(998.5) == -math.inf


def test_it_survives_its_folder(schedule, tmp_path):
    LogSNRCosineSchedule(num_train_timesteps=50, prediction_type="epsilon").save_pretrained(tmp_path)
    restored = LogSNRCosineSchedule.from_pretrained(tmp_path)
    assert restored.config.prediction_type == "epsilon" and len(restored.sigmas) == 50
