"""Latents to frames by a causal VAE, chunk by chunk, exactly as one decode of all latents would make them.

Owns what a chunk needs of the latents before it, and the scale of latents. Knows no transformer, no noise and no steps.

The VAE is diffusers' `AutoencoderKLWan` (Wan, arXiv 2503.20314, section 4.1): its convolutions look back in time and
never ahead, the first latent becomes one frame and each later one as many as time was shortened by. A chunk therefore
joins the one before it without a seam when it is given one of two things:

- the *features*: what every convolution keeps of its last two inputs. Exact and without double work, but large. Of the
  released Wan 2.1 VAE at 960x544 they are 4.94 GB in float32, for any length of video; at 640x384, 2.32 GB.
- the last `looks_back` *latents* before it, which are decoded again first. As exact, for no convolution sees further:
  38 latents of that VAE, 19.8 MB at 960x544. It costs 38 latents more to decode a chunk.

Fewer latents are cheaper and no longer exact; `skip` takes as many as are given. Tiles (`enable_tiling`) are not made
here: latents are decoded one by one, so what is in memory does not grow with the chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, unpatchify
from torch import Tensor

from models import pixels

Features = dict[str, Tensor]  # by the slot of the convolution, "000" and up

_REPEATED = "Rep"  # diffusers' word for a convolution in time that the first latent has passed by


def looks_back(vae: Any) -> int:
    """How many latents before the first new one any of its frames depends on.

    Counted from the frames back to the latents: a convolution over k frames sees k - 1 earlier ones, and where time is
    lengthened, twice as many frames are half as many before it.
    """
    seen = 0
    for name, part in reversed(list(vae.decoder.named_modules())):
        if isinstance(part, WanCausalConv3d):
            if name.endswith("time_conv"):  # it makes two frames of one
                seen = -(-seen // 2)
            seen += part.kernel_size[0] - 1
    return seen


@torch.no_grad()
def decode(vae: Any, latents: Tensor, before: Features | None = None, *, skip: int = 0) -> tuple[Tensor, Features]:
    """Scaled latents [1, C, F, h, w] -> frames float32 [1, 3, F', H, W] in -1..1, and the features that they leave.

    before: the features that the latents before these left; without them these are the first. skip: of so many latents
    at the beginning no frames are wanted. Frames and features are on the CPU. Nothing stays in the VAE.
    """
    cache: list[Any] = [None] * sum(1 for _ in vae.decoder.modules())  # no fewer than convolutions
    for name, kept in (before or {}).items():
        cache[int(name)] = kept.to(vae.device) if kept.numel() else _REPEATED
    frames = []
    for i, latent in enumerate(_raw(vae, latents).split(1, dim=2)):
        passed = vae.post_quant_conv(latent)
        made = vae.decoder(passed, feat_cache=cache, feat_idx=[0], first_chunk=not before and i == 0)
        if i >= skip:
            whole = made if vae.config.patch_size is None else unpatchify(made, vae.config.patch_size)
            frames.append(whole.float().clamp(-1, 1).cpu())
    kept_by = {f"{slot:03}": kept for slot, kept in enumerate(cache) if kept is not None}
    features = {name: torch.zeros(0) if kept is _REPEATED else kept.cpu() for name, kept in kept_by.items()}
    return torch.cat(frames, dim=2), features


@torch.no_grad()
def alone(vae: Any, latents: Tensor) -> Tensor:
    """Scaled latents [1, C, F, h, w] -> frames float32 [1, 3, F', H, W] in -1..1 on the CPU: a video by themselves."""
    frames: Tensor = vae.decode(_raw(vae, latents), return_dict=False)[0]
    return frames.float().clamp(-1, 1).cpu()


@torch.no_grad()
def encode(vae: Any, video: Tensor, grain: Tensor | None = None) -> Tensor:
    """Frames [1, 3, F', H, W] in -1..1 -> scaled latents, float32 [1, C, F, h, w].

    grain: standard normal numbers of the latents' shape, by which the posterior is drawn from; without it, its mean.
    """
    posterior = vae.encode(video.to(vae.device, vae.dtype)).latent_dist
    drawn = posterior.mean if grain is None else posterior.mean + posterior.std * grain.to(posterior.mean)
    mean, deviation = _scale(vae, drawn)
    return ((drawn - mean) / deviation).float()


def picture(image: np.ndarray, height: int, width: int) -> Tensor:
    """uint8 [h, w, 3] -> float32 [1, 3, 1, H, W] in -1..1."""
    (fitted,) = pixels.fit(image[None], height, width)
    return torch.from_numpy(fitted).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1


def as_bytes(frames: Tensor) -> np.ndarray:
    """float [1, 3, F, H, W] in -1..1 -> uint8 [F, H, W, 3]."""
    shown: np.ndarray = ((frames[0] + 1) * 127.5).round().byte().permute(1, 2, 3, 0).contiguous().numpy()
    return shown


def _raw(vae: Any, latents: Tensor) -> Tensor:
    """As the VAE's own encoder leaves them, on its device."""
    raw = latents.to(vae.device, vae.dtype)
    mean, deviation = _scale(vae, raw)
    return raw * deviation + mean


def _scale(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel of the latents of real videos, [1, C, 1, 1, 1]."""
    mean, deviation = (torch.tensor(numbers).to(like) for numbers in (vae.config.latents_mean, vae.config.latents_std))
    return mean.view(1, -1, 1, 1, 1), deviation.view(1, -1, 1, 1, 1)
