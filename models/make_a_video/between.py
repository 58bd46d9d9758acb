"""↑F on frames as files have them: any video at a multiple of its frame rate, a run of frames at a time.

Source: Make-A-Video (arXiv 2209.14792) section 3.3. Owns the way from uint8 to latents and back; windows and sampling
are `interpolation`'s. The paper fills in pixels of 64x64; here it is latents, at an eighth of the side, so that a CPU
keeps up. Knows nothing of prompts, nor of what made the frames.

A run begins with the last given frame of the run before it. Neighbours meet in a frame that is given, and the noise of
a frame is a function of the seed and its number, so that any worker can make any run, and again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from models.make_a_video.interpolation import WINDOW, Filling, Window, fill, nothing, windows
from models.make_a_video.network import SpaceTimeUNet
from models.streaming_t2v.sampler import OnStep, ignore

FACTORS = range(2, 6)  # that the bundled network was trained with; any up to 15 is possible
#: As the bundled network does best: frames between neighbours leave little open, and one step makes the mean of it.
ONE_STEP = Filling(steps=1)


class Between:
    """Makes `factor` frames of one. The memory is that of one window, of 16 frames.

    network: ↑F, in the latents of `vae`. scheduler: a diffusers DDIMScheduler; a copy of it is used. fps: of the frames
    given. Raises ValueError for a factor that no window holds.
    """

    def __init__(
        self,
        network: SpaceTimeUNet,
        vae: Any,
        scheduler: Any,
        factor: int,
        how: Filling = ONE_STEP,
        *,
        seed: int,
        fps: float = 8.0,
    ):
        windows(2, factor)
        self._network, self._vae, self._how = network, vae, how
        self._scheduler = DDIMScheduler.from_config(scheduler.config)
        self._factor, self._seed, self._fps = factor, seed, fps

    def frames(self, given: int, first: int) -> range:
        """The numbers, in the longer video, of what `run` returns for so many frames from number `first` on."""
        begin = first * self._factor
        return range(begin + (first > 0), begin + (given - 1) * self._factor + 1)

    def steps(self, given: int) -> int:
        """How many steps `run` counts for so many frames."""
        return 0 if given < 2 else len(windows(given, self._factor)) * self._how.steps

    @torch.no_grad()
    def run(self, frames: np.ndarray, *, first: int = 0, on_step: OnStep = ignore) -> np.ndarray:
        """uint8 [K, H, W, 3] -> uint8 [(K - 1) · factor, H, W, 3]: all frames after frames[0], up to frames[-1].

        first: the number of frames[0] in the given video. At 0 the result begins with frames[0] itself, one frame more:
        nobody else returns it. So a video is cut into runs that share one frame: 0..15, 15..31, …, and the results one
        after the other are the longer video. Given frames come back as they are. H and W: multiples of 8. on_step
        counts `steps`; what it raises passes through.
        """
        pieces = [frames[:1]] if first == 0 else [frames[:0]]
        parts = windows(len(frames), self._factor) if len(frames) > 1 else []
        for number, part in enumerate(parts):
            start, spans = part.first // self._factor, len(part.known) - 1

            def counted(step: int, steps: int, number: int = number) -> None:
                on_step(number * steps + step, len(parts) * steps)

            pieces.append(self._window(frames[start : start + spans + 1], (first + start) * self._factor, counted))
        return np.concatenate(pieces)

    def _window(self, given: np.ndarray, first: int, on_step: OnStep) -> np.ndarray:
        """The frames after given[0], which has number `first` in the longer video."""
        at = tuple(range(0, (len(given) - 1) * self._factor + 1, self._factor))
        assert at[-1] < WINDOW
        pixels = self._pixels(given)
        latents = self._encoded(pixels)
        made = fill(
            self._network, self._scheduler, latents, Window(first, first + at[-1], at), self._how,
            seed=self._seed, condition=nothing(self._network), fps=self._fps * self._factor, on_step=on_step,
        )  # fmt: skip
        drawn = self._decoded(made) + spread(pixels - self._decoded(latents), self._factor)
        whole = ((drawn.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        whole[list(at)] = given
        return whole[1:]

    def _pixels(self, frames: np.ndarray) -> Tensor:  # -> [F, 3, H, W] in -1..1
        return torch.from_numpy(frames).to(self._vae.device).permute(0, 3, 1, 2).float() / 127.5 - 1

    def _encoded(self, pixels: Tensor) -> Tensor:  # -> [1, C, F, h, w]
        means = [self._vae.encode(frame[None].to(self._vae.dtype)).latent_dist.mode() for frame in pixels]
        latents: Tensor = torch.cat(means).float() * self._vae.config.scaling_factor
        return latents.transpose(0, 1)[None].to(self._network.dtype)

    def _decoded(self, latents: Tensor) -> Tensor:  # -> [F, 3, H, W]
        frames = (latents[0].transpose(0, 1) / self._vae.config.scaling_factor).to(self._vae.dtype)
        return torch.cat([self._vae.decode(frame[None]).sample.float().clamp(-1, 1) for frame in frames])


def spread(given: Tensor, factor: int) -> Tensor:
    """What stands at each given frame, [K, ...], laid over those between by its distance, [(K - 1) · factor + 1, ...].

    Of what an autoencoder loses of the given frames the made ones then lose no more, or a picture at rest would flicker
    between those that were given and those that were made.
    """
    share = torch.arange(factor, device=given.device).view(-1, *[1] * (given.ndim - 1)) / factor
    pieces = [before + share * (after - before) for before, after in pairwise(given)]
    return torch.cat([*pieces, given[-1:]])
