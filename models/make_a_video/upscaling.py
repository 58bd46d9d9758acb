"""SRₕ on frames as files have them: larger ones, each from its own small frame.

Source: Make-A-Video (arXiv 2209.14792) section 3.2. Owns the way from uint8 and back; planes and sampling are
`enlargement`'s. Knows nothing of prompts, nor of what made the frames.

Every frame gets the same noise, so that what stands still stays still, and none looks at another, so that any worker
can enlarge any of them, and again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from models.make_a_video.enlargement import Enlargement, Enlarger
from models.make_a_video.network import SpaceTimeUNet
from models.streaming_t2v.sampler import OnStep, ignore

#: As the bundled network does best: what it makes of noise in one step is the mean of all that it could, and more steps
#: are further from the truth. One frame at a time: side by side, equal frames differ in their last digits.
TWICE = Enlargement(factor=2, through_time=False, steps=1, augmentation=0.0, window=1)


class Upscaler:
    """Enlarges frame by frame; the memory is that of `how.window` frames.

    network: SRₕ. scheduler: a diffusers DDIMScheduler; a copy of it is used.
    """

    def __init__(self, network: SpaceTimeUNet, scheduler: Any, how: Enlargement = TWICE, *, seed: int):
        alone = replace(how, through_time=False)
        self.factor = how.factor
        self._device, self._dtype = network.device, network.dtype
        self._enlarger = Enlarger(network, DDIMScheduler.from_config(scheduler.config), alone, seed=seed)

    def run(self, frames: np.ndarray, *, on_step: OnStep = ignore) -> np.ndarray:
        """uint8 [K, H, W, 3] -> uint8 [K, H · factor, W · factor, 3]; H and W are multiples of 4.

        on_step counts frames; what it raises passes through.
        """
        small = torch.from_numpy(frames).to(self._device).permute(3, 0, 1, 2)[None] / 127.5 - 1  # [1, 3, K, H, W]
        made: list[np.ndarray] = []
        for piece in self._enlarger.run(small.to(self._dtype)):
            pixels = ((piece[0].float().clamp(-1, 1) + 1) * 127.5).round().byte()
            made.extend(pixels.permute(1, 2, 3, 0).cpu().numpy())
            on_step(len(made), len(frames))
        return np.stack(made)
