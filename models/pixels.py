"""Frames to latents and back, a few frames at a time. Knows nothing of noise, steps or windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F


def encode(
    vae: Any, frames: np.ndarray, *, size: tuple[int, int], resize: str, batch: int
) -> torch.Tensor:  # uint8 [F, h, w, 3] -> float32 [C, F, H/8, W/8]
    """The mean of the encoder's posterior, scaled, of frames enlarged to `size` (height, width)."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = []
    for part in pixels.split(batch):
        # antialias makes the filters those of PIL, which the published code resizes with.
        part = F.interpolate(part, size, mode=resize, align_corners=False, antialias=True).clamp(-1, 1)
        part = part.to(device=vae.device, dtype=vae.dtype)
        latents.append(vae.encode(part).latent_dist.mode().float())
    return (torch.cat(latents) * vae.config.scaling_factor).transpose(0, 1)


def decode(vae: Any, latents: torch.Tensor, *, batch: int) -> np.ndarray:
    """float32 [C, F, H/8, W/8] -> uint8 [F, H, W, 3], F >= 1."""
    z = (latents.transpose(0, 1) / vae.config.scaling_factor).to(device=vae.device, dtype=vae.dtype)
    frames = []
    for part in z.split(batch):
        pixels = vae.decode(part).sample.float().clamp(-1, 1)
        frames.append(((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(frames)
