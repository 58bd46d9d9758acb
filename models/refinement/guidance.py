"""Classifier-free guidance of one window, with rescale. Knows nothing of schedules, solvers or windows."""

from __future__ import annotations

import torch


def guide(
    cond: torch.Tensor, uncond: torch.Tensor, *, scale: float, rescale: float = 0.0
) -> torch.Tensor:  # [B, C, F, H, W]
    """u + w (c - u), pulled back by `rescale` towards the contrast of the conditional prediction.

    Large w inflates the prediction; phi = `rescale` mixes it with itself at the standard deviation of c
    (arXiv 2305.08891, Eq. 15 and 16). The deviation is that of the whole window, all frames together.
    """
    guided = uncond + scale * (cond - uncond)
    if not rescale:
        return guided
    ratio = _deviation(cond) / (_deviation(guided) + 1e-12)
    return guided * (rescale * ratio + (1 - rescale))


def _deviation(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).std(dim=1).view(-1, *[1] * (x.ndim - 1))
