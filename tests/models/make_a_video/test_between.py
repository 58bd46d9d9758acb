"""A video at a multiple of its rate: the given frames are there, a run can be made alone, all runs are one video."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler

from models.make_a_video.between import Between, spread
from models.make_a_video.interpolation import Filling
from models.make_a_video.network import SpaceTimeUNet, inflate
from tests.support.make_a_video import awake, image_network

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 16, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> SpaceTimeUNet:
    return awake(inflate(image_network(channels=4), planes=5))


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4,
    ).eval()  # fmt: skip


def between(network: SpaceTimeUNet, vae: AutoencoderKL, factor: int, seed: int = 1, fps: float = 8.0) -> Between:
    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
    return Between(network, vae, scheduler, factor, Filling(steps=2), seed=seed, fps=fps)


@pytest.mark.parametrize("factor", [2, 5])
def test_every_given_frame_comes_back_unchanged_at_its_place(
    network: SpaceTimeUNet, vae: AutoencoderKL, factor: int
) -> None:
    made = between(network, vae, factor).run(FRAMES)
    assert made.shape == (8 * factor + 1, *FRAMES.shape[1:]) and made.dtype == np.uint8
    assert np.array_equal(made[::factor], FRAMES)
    assert not np.array_equal(made[1], made[0]) and not np.array_equal(made[1], made[factor])


def test_runs_that_share_a_frame_are_one_video_and_each_can_be_made_alone(
    network: SpaceTimeUNet, vae: AutoencoderKL
) -> None:
    maker = between(network, vae, 3)
    one, two = maker.run(FRAMES[:6]), maker.run(FRAMES[5:], first=5)
    assert (len(one), len(two)) == (16, 9)
    assert [*maker.frames(6, 0), *maker.frames(4, 5)] == list(range(25))
    assert np.array_equal(np.concatenate([one, two])[::3], FRAMES)
    assert np.array_equal(two, between(network, vae, 3).run(FRAMES[5:], first=5))
    assert np.array_equal(one, maker.run(FRAMES)[:16]), "windows end where they end in the whole video"


def test_noise_and_rate_are_heard(network: SpaceTimeUNet, vae: AutoencoderKL) -> None:
    one = between(network, vae, 2).run(FRAMES[:3])
    assert not np.array_equal(one, between(network, vae, 2, seed=2).run(FRAMES[:3]))
    assert not np.array_equal(one, between(network, vae, 2, fps=30.0).run(FRAMES[:3]))
    later = between(network, vae, 2).run(FRAMES[:3], first=4)
    assert not np.array_equal(one[1:], later), "another place in the video has other noise"


def test_steps_are_counted_and_a_stop_stops(network: SpaceTimeUNet, vae: AutoencoderKL) -> None:
    maker, told = between(network, vae, 5), []
    maker.run(FRAMES, on_step=lambda step, steps: told.append((step, steps)))
    assert told == [(step, 6) for step in range(1, 7)] and maker.steps(9) == 6

    def stop(step: int, steps: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        maker.run(FRAMES, on_step=stop)


def test_one_frame_alone_is_returned_once(network: SpaceTimeUNet, vae: AutoencoderKL) -> None:
    maker = between(network, vae, 4)
    assert np.array_equal(maker.run(FRAMES[:1]), FRAMES[:1])
    assert len(maker.run(FRAMES[:1], first=3)) == 0 == maker.steps(1)


@pytest.mark.parametrize("factor", [1, 16])
def test_a_factor_that_no_window_holds_is_refused(network: SpaceTimeUNet, vae: AutoencoderKL, factor: int) -> None:
    with pytest.raises(ValueError, match="2 to 15 are possible"):
        between(network, vae, factor)


def test_what_the_autoencoder_loses_is_spread_by_distance() -> None:
    lost = torch.tensor([[0.0], [4.0], [2.0]])
    assert spread(lost, 4).flatten().tolist() == [0, 1, 2, 3, 4, 3.5, 3, 2.5, 2]


def test_it_runs_in_half_precision_too(network: SpaceTimeUNet, vae: AutoencoderKL) -> None:
    halves = deepcopy(network).to(torch.bfloat16), deepcopy(vae).to(torch.bfloat16)
    made = between(*halves, 2).run(FRAMES[:3])
    assert np.array_equal(made[::2], FRAMES[:3]) and len(made) == 5
