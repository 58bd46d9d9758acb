"""SRₗᵗ and SRₕ: frames made larger by diffusion, through time and frame by frame.

Source: Make-A-Video (arXiv 2209.14792) section 3.2. The network is a `SpaceTimeUNet` with the small frames beside its
noisy ones, enlarged bilinearly and noised a little, which it is told of (noise augmentation, arXiv 2106.15282): so it
makes up for what the stage before it does badly. Owns windows and the loop; what the frames are is the caller's.

SRₕ sees single frames, and the same noise in each of them, so what stands still stays still. The paper does not say how
SRₗᵗ goes on beyond its 16 frames; here a window is held to the last frames of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models import noise
from models.make_a_video.network import SpaceTimeUNet
from models.streaming_t2v.sampler import sample_chunk

STAGE, AUGMENTATION = "upscale", "upscale-augmentation"


@dataclass(frozen=True, slots=True)
class Enlargement:
    """How frames are enlarged.

    factor: of both sides. through_time: SRₗᵗ, `window` frames at once, `overlap` of them those made last; else SRₕ,
    which takes `window` frames side by side. augmentation: how far the small frames are noised, as a share of the
    schedule, 0 to 1. eta: of DDIM.
    """

    factor: int = 4
    through_time: bool = True
    steps: int = 25
    augmentation: float = 0.1
    eta: float = 0.0
    window: int = 16
    overlap: int = 4


class Enlarger:
    """Enlarges a video window by window; the memory is that of one.

    network: three planes beside as many noisy channels. scheduler: a diffusers DDIMScheduler.
    """

    def __init__(self, network: SpaceTimeUNet, scheduler: Any, how: Enlargement, *, seed: int):
        self._network, self._scheduler, self._how, self._seed = network, scheduler, how, seed
        self._level = round(how.augmentation * (scheduler.config.num_train_timesteps - 1))

    def run(self, frames: Tensor, *, first: int = 0, before: Tensor | None = None) -> Iterator[Tensor]:
        """[1, C, F, h, w] in -1..1 -> the same frames at their size, [1, C, K, H, W] at a time, none twice.

        first: the number of the first one in the video. before: the large frames made of those before it, as many as
        there are, up to `overlap`; their small ones must be given again in front of `frames` (SRₗᵗ only).
        """
        held = before if self._how.through_time else None
        at = 0
        while at < frames.shape[2]:
            made = self._window(frames[:, :, at : at + self._how.window], first + at, held)
            new = made if held is None else made[:, :, held.shape[2] :]
            at += made.shape[2]
            yield new
            if self._how.through_time and at < frames.shape[2]:
                held = made[:, :, -self._how.overlap :]
                at -= held.shape[2]

    @torch.no_grad()
    def _window(self, small: Tensor, first: int, held: Tensor | None) -> Tensor:
        """All frames of one window, [1, C, K, h, w] -> [1, C, K, H, W]; the first ones are `held`."""
        how, scheduler = self._how, self._scheduler
        scheduler.set_timesteps(how.steps)
        large = enlarged(small, how.factor)
        beside = self._noised(large, first)
        _, channels, count, height, width = beside.shape
        span = range(first, first + count)

        def drawn(step: int) -> Tensor:
            shape = (channels, height, width)
            if how.through_time:
                return noise.per_frame(shape, seed=self._seed, stage=STAGE, frames=span, step=step)[None].to(small)
            one = noise.gaussian(shape, seed=self._seed, stage=STAGE, index=0, step=step)
            return one[None, :, None].expand(1, -1, count, -1, -1).to(small)

        def denoise(frames: Tensor, t: Tensor) -> Tensor:
            if how.through_time:
                return self._predict(frames, t, beside)
            return self._predict(_singly(frames), t, _singly(beside)).transpose(0, 2)

        times = self._network.config.difference
        known = held if held is None or not times else (held - large[:, :, : held.shape[2]]) * times
        made = sample_chunk(denoise, drawn(noise.INITIAL), scheduler, drawn, eta=how.eta, known=known)
        return large + made / times if times else made

    def _predict(self, frames: Tensor, t: Tensor, beside: Tensor) -> Tensor:
        level = torch.full((len(frames),), self._level, device=frames.device)
        told = level if self._network.image.config.class_embed_type == "timestep" else None
        prediction: Tensor = self._network(frames, t, beside=beside, level=told).sample
        return prediction

    def _noised(self, large: Tensor, first: int) -> Tensor:
        """The enlarged frames [1, C, K, H, W] with noise, one for all of SRₕ's."""
        if not self._level:
            return large
        (channels, count), sides = large.shape[1:3], large.shape[3:]
        frames = range(first, first + count) if self._how.through_time else [0] * count
        draw = [
            noise.gaussian((channels, *sides), seed=self._seed, stage=AUGMENTATION, index=frame) for frame in frames
        ]
        level = torch.full((1,), self._level)
        noised: Tensor = self._scheduler.add_noise(large, torch.stack(draw, dim=1)[None].to(large), level)
        return noised


def enlarged(small: Tensor, factor: int) -> Tensor:
    """Bilinearly, [B, C, F, h, w] -> [B, C, F, H, W]."""
    frames = small.transpose(1, 2).flatten(0, 1)
    large = F.interpolate(frames, scale_factor=factor, mode="bilinear", align_corners=False)
    return large.unflatten(0, (len(small), -1)).transpose(1, 2)


def _singly(frames: Tensor) -> Tensor:  # [1, C, F, H, W] -> [F, C, 1, H, W]
    return frames.transpose(0, 2)
