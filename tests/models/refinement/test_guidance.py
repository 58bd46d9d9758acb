"""Promises of guidance with rescale."""

import pytest
import torch

from models.refinement.guidance import guide

COND, UNCOND = torch.randn(2, 1, 4, 6, 5, 5, generator=torch.Generator().manual_seed(1))


def test_scale_one_is_the_conditional_prediction():
    assert torch.allclose(guide(COND, UNCOND, scale=1.0), COND, atol=1e-6)


def test_full_rescale_restores_the_contrast_of_the_window():
    guided = guide(COND, UNCOND, scale=7.5, rescale=1.0)
    assert guided.std() == pytest.approx(COND.std().item(), rel=1e-5)


def test_rescale_mixes_between_none_and_full():
    none, full = (guide(COND, UNCOND, scale=7.5, rescale=phi) for phi in (0.0, 1.0))
    assert torch.allclose(guide(COND, UNCOND, scale=7.5, rescale=0.2), 0.2 * full + 0.8 * none, atol=1e-5)


def test_each_video_of_a_batch_has_its_own_contrast():
    cond, uncond = torch.cat([COND, 3 * COND]), torch.cat([UNCOND, UNCOND])
    together = guide(cond, uncond, scale=4.0, rescale=0.5)
    assert torch.allclose(together[1:], guide(3 * COND, UNCOND, scale=4.0, rescale=0.5), atol=1e-5)
