"""Guidance is the paper's formula, and known frames are held exactly."""

import pytest
import torch
from diffusers import DDIMScheduler

from models.streaming_t2v.sampler import branches, guide, sample_chunk


@pytest.fixture
def predictions():
    return dict(zip(("null", "text", "full"), torch.randn(3, 1, 4, 2, 3, 3), strict=True))


def guided(predictions, text_scale, anchor_scale):
    return guide([predictions[name] for name in branches(text_scale, anchor_scale)], text_scale, anchor_scale)


@pytest.mark.parametrize(("scales", "evaluations"), [((1, 1), 1), ((7.5, 7.5), 2), ((7.5, 3.0), 3), ((1, 2), 3)])
def test_guidance_takes_no_more_evaluations_than_its_scales_need(scales, evaluations):
    assert len(branches(*scales)) == evaluations


def test_equal_scales_give_in_two_evaluations_what_the_papers_three_give(predictions):
    null, text, full = predictions.values()
    three = null + 7.5 * (text - null) + 7.5 * (full - text)
    assert torch.allclose(guided(predictions, 7.5, 7.5), three, atol=1e-5)


def test_unequal_scales_weigh_text_and_anchor_apart(predictions):
    null, text, full = predictions.values()
    want = null + 2 * (text - null) + 5 * (full - text)
    assert torch.allclose(guided(predictions, 2, 5), want, atol=1e-6)


def test_held_frames_end_as_they_were_given():
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(10)
    known = torch.randn(1, 4, 2, 3, 3)
    noise = {step: torch.randn(1, 4, 5, 3, 3) for step in range(10)}
    seen = []

    def denoise(latents, t):
        seen.append(latents[:, :, :2].clone())
        return torch.zeros_like(latents)

    start = torch.randn(1, 4, 5, 3, 3)
    sample_chunk(denoise, start, scheduler, noise.__getitem__, eta=1.0, known=known)
    for t, latents in zip(scheduler.timesteps, seen, strict=True):
        assert torch.allclose(latents, scheduler.add_noise(known, start[:, :, :2], t[None]))


def test_progress_is_told_after_every_step_and_may_stop_the_work():
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(10)
    told = []

    def stop_at_three(step, steps):
        told.append((step, steps))
        if step == 3:
            raise InterruptedError

    start = torch.randn(1, 4, 2, 3, 3)
    with pytest.raises(InterruptedError):
        sample_chunk(lambda x, t: x, start, scheduler, lambda step: start, eta=0.0, on_step=stop_at_three)
    assert told == [(1, 10), (2, 10), (3, 10)]
