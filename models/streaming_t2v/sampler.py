"""Sampling one chunk: the denoising loop, and classifier-free guidance by text and by anchor.

Pure functions over tensors. Source: StreamingT2V (arXiv 2403.14773) Eq. 11. Knows nothing of networks or of chunks
before and after.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]  # (x_t [B, C, F, H, W], t) -> the network's prediction, guided
OnStep = Callable[[int, int], None]  # (steps done, steps in all); may raise to stop


def ignore(step: int, steps: int) -> None:
    """The `on_step` of callers who need no progress."""


def sample_chunk(
    denoise: Denoise,
    latents: Tensor,
    scheduler: Any,
    noise: Callable[[int], Tensor],
    *,
    eta: float,
    known: Tensor | None = None,
    on_step: OnStep = ignore,
) -> Tensor:
    """One chunk, [B, C, F, H, W] of pure noise -> clean latents.

    scheduler: of diffusers, with its timesteps set: DDIM, or one that has no eta and draws no noise. noise: (step) ->
    Gaussian noise like `latents`, for eta and for known frames; a pure function, so a resumed chunk equals an
    undisturbed one. known: clean latents of the first frames [B, C, K, H, W]: where given, those frames are held to it
    at every step instead of being made again (published: None, they are made again and thrown away).
    """
    timesteps = scheduler.timesteps
    start, is_ddim = latents, "eta" in inspect.signature(scheduler.step).parameters
    for i, t in enumerate(timesteps):
        if known is not None:
            latents = torch.cat([_noised(scheduler, known, start, t), latents[:, :, known.shape[2] :]], dim=2)
        prediction = denoise(latents, t)
        drawing = {"eta": eta, "variance_noise": noise(i) if eta > 0 else None} if is_ddim else {}
        latents = scheduler.step(prediction, t, latents, **drawing).prev_sample
        on_step(i + 1, len(timesteps))
    return latents


def _noised(scheduler: Any, known: Tensor, start: Tensor, t: Tensor) -> Tensor:
    noised: Tensor = scheduler.add_noise(known, start[:, :, : known.shape[2]], t.reshape(1))
    return noised


def branches(text_scale: float, anchor_scale: float) -> tuple[str, ...]:
    """The evaluations that guidance needs: one without guidance, two with equal scales, three with unequal ones.

    'null': negative prompt, no anchor. 'text': prompt, no anchor. 'full': prompt and anchor.
    """
    if text_scale == anchor_scale == 1:
        return ("full",)
    return ("null", "full") if text_scale == anchor_scale else ("null", "text", "full")


def guide(predictions: Iterable[Tensor], text_scale: float, anchor_scale: float) -> Tensor:
    """Eq. 11: null + w_text (text - null) + w_anchor (full - text); with equal weights `text` cancels out."""
    by_name = dict(zip(branches(text_scale, anchor_scale), predictions, strict=True))
    full = by_name["full"]
    if len(by_name) == 1:
        return full
    null = by_name["null"]
    if "text" not in by_name:
        return null + text_scale * (full - null)
    text = by_name["text"]
    return null + text_scale * (text - null) + anchor_scale * (full - text)
