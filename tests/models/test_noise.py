"""Promises of models.noise: pure, independent of order, and really Gaussian or uniform."""

import itertools

import pytest
import torch

from models import noise

HERE = {"seed": 7, "stage": "refine", "index": 3, "step": 2}


def test_the_same_address_gives_the_same_numbers_whatever_was_drawn_before():
    first = noise.gaussian((4, 8, 8), **HERE)
    torch.manual_seed(99)
    noise.gaussian((3,), **HERE | {"index": 4})
    torch.randn(1000)
    assert torch.equal(first, noise.gaussian((4, 8, 8), **HERE))


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.randn(8)
    torch.manual_seed(5)
    noise.gaussian((100,), **HERE)
    noise.integer(0, 7, **HERE)
    assert torch.equal(expected, torch.randn(8))


@pytest.mark.parametrize("change", [{"seed": 8}, {"stage": "stream"}, {"index": 4}, {"step": 3}])
def test_every_part_of_the_address_counts(change):
    here, there = noise.gaussian((4096,), **HERE), noise.gaussian((4096,), **HERE | change)
    correlation = torch.corrcoef(torch.stack([here, there]))[0, 1]
    assert abs(correlation) < 5 / 4096**0.5


def test_no_two_of_many_neighbouring_addresses_collide():
    addresses = itertools.product(range(4), ("stream", "refine"), range(12), range(-1, 11))
    drawn = {
        noise.gaussian((2,), seed=seed, stage=stage, index=index, step=step).numpy().tobytes()
        for seed, stage, index, step in addresses
    }
    assert len(drawn) == 4 * 2 * 12 * 12


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, 2**64])
def test_any_whole_number_is_a_seed(seed):
    assert noise.gaussian((3,), **HERE | {"seed": seed}).isfinite().all()


def test_gaussian_noise_is_standard_normal():
    x = noise.gaussian((200_000,), **HERE)
    assert x.dtype == torch.float32 and x.device.type == "cpu"
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01
    assert abs((x**4).mean() - 3) < 0.1
    assert 0.6727 < (x.abs() < 1).float().mean() < 0.6927


def test_a_frame_has_the_same_noise_in_every_window_that_shows_it():
    at = {"seed": 7, "stage": "refine", "step": 0}
    left = noise.per_frame((4, 2, 2), frames=range(0, 24), **at)  # [C, F, H, W]
    right = noise.per_frame((4, 2, 2), frames=range(16, 40), **at)
    assert left.shape == (4, 24, 2, 2)
    assert torch.equal(left[:, 16:], right[:, :8])
    assert torch.equal(left[:, 5], noise.gaussian((4, 2, 2), index=5, **at))


def test_integers_are_uniform_and_reach_both_ends():
    at = {"seed": 7, "stage": "blend", "step": 0}
    drawn = torch.tensor([noise.integer(0, 7, index=i, **at) for i in range(4000)])
    counts = torch.bincount(drawn, minlength=8)
    assert len(counts) == 8
    assert ((counts - 500) ** 2 / 500).sum() < 30  # chi-square, 7 degrees of freedom
    assert noise.integer(3, 3, index=0, **at) == 3
