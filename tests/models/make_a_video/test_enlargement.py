"""SRₗᵗ and SRₕ: any length at the larger size, window by window; what stands still stays still."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler

from models.make_a_video.enlargement import Enlargement, Enlarger, enlarged
from models.make_a_video.network import SpaceTimeUNet, inflate
from tests.support import make_a_video


@pytest.fixture
def network() -> SpaceTimeUNet:
    return make_a_video.enlarger()


def enlarger(network: SpaceTimeUNet, seed: int = 1, **options: Any) -> Enlarger:
    scheduler = DDIMScheduler(prediction_type="sample", clip_sample=False)
    return Enlarger(network, scheduler, Enlargement(**{"factor": 2, "steps": 2, **options}), seed=seed)


def small(frames: int) -> torch.Tensor:
    return torch.rand(1, 3, frames, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("through_time", [True, False])
@pytest.mark.parametrize("frames", [1, 5, 16, 17, 40])
def test_every_frame_is_enlarged_once(network: SpaceTimeUNet, through_time: bool, frames: int) -> None:
    pieces = list(enlarger(network, through_time=through_time).run(small(frames)))
    whole = torch.cat(pieces, dim=2)
    assert whole.shape == (1, 3, frames, 16, 16) and whole.isfinite().all()
    assert max(piece.shape[2] for piece in pieces) <= 16


def test_frame_by_frame_a_still_clip_stays_still_and_every_frame_is_its_own(network: SpaceTimeUNet) -> None:
    still = small(1).expand(-1, -1, 20, -1, -1)
    made = torch.cat(list(enlarger(network, through_time=False).run(still)), dim=2)
    # Sixteen frames and the four after them are products of other sizes; within one of them nothing may differ.
    assert torch.equal(made[:, :, :16], made[:, :, :1].expand(-1, -1, 16, -1, -1))
    torch.testing.assert_close(made[:, :, 16:], made[:, :, :4], atol=1e-5, rtol=0)
    moving = small(20)
    other = torch.cat(list(enlarger(network, through_time=False).run(moving)), dim=2)
    alone = torch.cat(list(enlarger(network, through_time=False).run(moving[:, :, 7:8], first=7)), dim=2)
    torch.testing.assert_close(other[:, :, 7:8], alone, atol=1e-5, rtol=0)


def test_through_time_a_window_goes_on_from_the_frames_made_last(network: SpaceTimeUNet) -> None:
    frames = small(28)
    first, second = enlarger(network).run(frames)
    assert (first.shape[2], second.shape[2]) == (16, 12)
    (again,) = enlarger(network).run(frames[:, :, 12:], first=12, before=first[:, :, -4:])
    assert torch.equal(again, second), "a window can be made by another worker from what the last one left"
    (apart,) = enlarger(network).run(frames[:, :, 16:], first=16)
    assert not torch.equal(apart, second)


def test_what_is_made_follows_the_small_frames_the_seed_and_the_augmentation(network: SpaceTimeUNet) -> None:
    def made(frames: torch.Tensor, **options: Any) -> torch.Tensor:
        (piece,) = enlarger(network, **options).run(frames)
        return piece

    one = made(small(4))
    assert torch.equal(one, made(small(4)))
    for other in (made(small(4).flip(2)), made(small(4), seed=2), made(small(4), augmentation=0.5)):
        assert not torch.equal(one, other)


def test_what_is_enlarged_is_the_small_frame_where_the_network_adds_nothing(network: SpaceTimeUNet) -> None:
    """A network that hands on its planes makes the bilinear enlargement: the loop itself changes nothing."""

    class HandsOn(torch.nn.Module):
        image, config = network.image, network.config

        def forward(self, sample: torch.Tensor, t: Any, *, beside: torch.Tensor, level: Any) -> Any:
            return type("Made", (), {"sample": beside})

    frames = small(6)
    (made,) = enlarger(HandsOn(), augmentation=0.0, steps=4).run(frames)  # type: ignore[arg-type]
    bilinear = F.interpolate(frames[0].transpose(0, 1), scale_factor=2, mode="bilinear").transpose(0, 1)[None]
    torch.testing.assert_close(made, bilinear, atol=1e-4, rtol=0)


@pytest.mark.parametrize("through_time", [True, False])
def test_a_network_that_draws_differences_adds_them_to_the_bilinear_frames(through_time: bool) -> None:
    network = make_a_video.awake(inflate(make_a_video.image_network(cross_attention=False, hears_level=True), 3, 5.0))
    frames = small(20)
    pieces = list(enlarger(network, through_time=through_time, augmentation=0.3).run(frames))
    with torch.no_grad():
        network.image.conv_out.spatial.weight.zero_()  # it says nothing: of a sample, that the difference is zero
        network.image.conv_out.spatial.bias.zero_()
    made = torch.cat(list(enlarger(network, through_time=through_time, augmentation=0.3).run(frames)), dim=2)
    torch.testing.assert_close(made, enlarged(frames, 2), atol=1e-4, rtol=0)
    assert not torch.allclose(made, torch.cat(pieces, dim=2), atol=1e-2)
