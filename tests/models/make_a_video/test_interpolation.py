"""↑F: every given frame is there unchanged, every other is made, and a stream of windows is one video."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from diffusers import DDIMScheduler

from models.make_a_video.interpolation import PLANES, Filling, Window, blended, fill, interpolated, planes, windows
from models.make_a_video.network import SpaceTimeUNet, inflate
from tests.models.make_a_video.test_network import EMBEDDING, clips
from tests.support.make_a_video import awake, image_network

HOW = Filling(steps=3)


@pytest.fixture
def network() -> SpaceTimeUNet:
    return awake(inflate(image_network(), PLANES))


@pytest.fixture
def scheduler() -> DDIMScheduler:
    return DDIMScheduler(prediction_type="v_prediction", clip_sample=False)


def test_the_papers_16_frames_become_76() -> None:
    made = windows(16, 5)
    assert made[0] == Window(0, 15, (0, 5, 10, 15))
    assert made[-1].last + 1 == 76 == (16 - 1) * 5 + 1


@pytest.mark.parametrize("given", [2, 3, 4, 5, 16, 61])
@pytest.mark.parametrize("factor", [2, 3, 4, 5, 15])
def test_windows_meet_in_given_frames_and_leave_none_out(given: int, factor: int) -> None:
    made = windows(given, factor)
    assert made[0].first == 0 and made[-1].last == (given - 1) * factor
    assert all(before.last == after.first for before, after in zip(made, made[1:], strict=False))
    assert all(window.frames <= 16 and window.known[-1] == window.last - window.first for window in made)
    at = [window.first + place for window in made for place in window.known]
    assert sorted(set(at)) == list(range(0, given * factor, factor))


@pytest.mark.parametrize(("given", "factor"), [(1, 4), (4, 1), (4, 16)])
def test_what_cannot_be_filled_is_said(given: int, factor: int) -> None:
    with pytest.raises(ValueError, match="2 to 15 are possible"):
        windows(given, factor)


def test_the_planes_hold_what_is_known_and_where() -> None:
    known = clips(1, 2)
    laid = planes(known, (0, 5), 8)
    assert torch.equal(laid[:, :3, [0, 5]], known)
    assert laid[0, 3, :, 0, 0].tolist() == [1, 0, 0, 0, 0, 1, 0, 0]
    assert not laid[:, :, [1, 2, 3, 4, 6, 7]].any()


def test_known_frames_are_blended_by_distance_and_hold_outside() -> None:
    known = torch.tensor([1.0, 3.0]).view(1, 1, 2, 1, 1)
    assert blended(known, (2, 6), 9).flatten().tolist() == [1, 1, 1, 1.5, 2, 2.5, 3, 3, 3]
    assert blended(known[:, :, :1], (0,), 3).flatten().tolist() == [1, 1, 1]
    assert torch.equal(blended(known, (0, 1), 2), known)


def test_a_network_that_draws_differences_leaves_a_still_clip_as_it_is(scheduler: DDIMScheduler) -> None:
    """Where it has learned that there is none; and what it is shown between known frames is their blend."""
    seen: list[torch.Tensor] = []

    class Nothing(torch.nn.Module):
        config = inflate(image_network(), PLANES, difference=2.0).config

        def forward(self, frames: torch.Tensor, t: torch.Tensor, given: object, **shown: torch.Tensor) -> object:
            seen.append(shown["beside"])
            alpha = scheduler.alphas_cumprod[t]
            return type("Made", (), {"sample": frames / (1 - alpha).sqrt() * alpha.sqrt()})  # of v: x₀ = 0

    given = clips(1, 2)
    made = fill(Nothing(), scheduler, given, Window(0, 4, (0, 4)), HOW, seed=1)  # type: ignore[arg-type]
    torch.testing.assert_close(made, blended(given, (0, 4), 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0][:, :3, 2], (given[:, :, 0] + given[:, :, 1]) / 2)
    assert seen[0][0, 3, :, 0, 0].tolist() == [1, 0, 0, 0, 1]


@pytest.mark.parametrize("known", [(0,), (7,), (0, 7), (0, 1, 2), (0, 3, 5)])
def test_whatever_is_known_comes_back_and_the_rest_is_drawn(
    network: SpaceTimeUNet, scheduler: DDIMScheduler, known: tuple[int, ...]
) -> None:
    given = clips(1, len(known))
    made = fill(network, scheduler, given, Window(0, 7, known), HOW, seed=1, condition=EMBEDDING[:1])
    assert torch.equal(made[:, :, list(known)], given)
    others = [k for k in range(8) if k not in known]
    assert made[:, :, others].isfinite().all() and made[:, :, others].std() > 0.1
    elsewhere = fill(network, scheduler, given + 1, Window(0, 7, known), HOW, seed=1, condition=EMBEDDING[:1])
    assert not torch.equal(made[:, :, others], elsewhere[:, :, others]), "what is made must follow what is known"


def test_a_stream_of_windows_has_every_frame_once_and_a_window_can_be_made_again_alone(
    network: SpaceTimeUNet, scheduler: DDIMScheduler
) -> None:
    frames = clips(1, 9)
    pieces = list(interpolated(network, scheduler, frames, 4, HOW, seed=1, condition=EMBEDDING[:1], fps=32.0))
    whole = torch.cat(pieces, dim=2)
    assert whole.shape[2] == 8 * 4 + 1
    assert torch.equal(whole[:, :, ::4], frames)
    last = windows(9, 4)[-1]
    again = fill(network, scheduler, frames[:, :, -3:], last, HOW, seed=1, condition=EMBEDDING[:1], fps=32.0)
    assert torch.equal(again, whole[:, :, last.first :])


def test_its_noise_is_of_the_frame_and_the_seed(network: SpaceTimeUNet, scheduler: DDIMScheduler) -> None:
    given, window = clips(1, 2), Window(0, 4, (0, 4))
    one, same, other = (
        fill(network, scheduler, given, window, HOW, seed=seed, condition=EMBEDDING[:1]) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_its_memory_is_that_of_one_window(network: SpaceTimeUNet, scheduler: DDIMScheduler) -> None:
    pieces: Iterator[torch.Tensor] = interpolated(
        network, scheduler, clips(1, 200), 5, Filling(steps=1), seed=1, condition=EMBEDDING[:1]
    )
    first = next(pieces)
    assert first.shape[2] == 16, "the first piece must be there before the others are made"
