"""FreeNoise as the streamer: a window goes on from the frames before it, from the noise that the first one began with.

Source: FreeNoise (arXiv 2310.15169), section 3.2, noise rescheduling: frames far apart share their noise, shuffled, and
so their look. It needs no training and no other weights. In the paper all windows are denoised together and fused in
their temporal attention (section 3.3), with memory that grows with the video; here a window's first half is held to the
frames that are done. Knows nothing of CAM and APM.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise, pixels
from models.request import Brief
from models.streamers.plain import network_of, plain_way
from models.streamers.streamer import State
from models.streamers.streaming_t2v import StreamingT2V
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.sampler import OnStep, sample_chunk
from models.streaming_t2v.solvers import solver
from models.streaming_t2v.way import guided
from models.turbo import Turbo
from models.units import Unit


class FreeNoise:
    """opening: makes the first chunk. State: "latents", float32 [C, K, h, w], of the last K frames."""

    def __init__(self, brief: Brief, pipeline: StreamingPipeline, opening: StreamingT2V):
        self._brief, self._parts, self._opening = brief, pipeline, opening
        self._known, self._frames = brief.model.conditioning_frames, brief.model.chunk_frames

    @torch.no_grad()
    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        frames, _ = self._opening.begin(on_step)
        last = frames[-self._known :]
        latents = pixels.encode(self._parts.vae, last, size=last.shape[1:3], resize="bilinear", batch=8)
        return frames, {"latents": latents.float().cpu()}

    @torch.no_grad()
    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        request, parts = self._brief.request, self._parts
        steps, scale = self._brief.streamer_sampling
        known = before["latents"].unsqueeze(0).to(parts.device)
        groups = [
            self._noise(known, group, request.seed_at(unit.first_frame)) for group in (unit.index, unit.index + 1)
        ]
        scheduler = solver(parts.scheduler, Turbo().solver, steps, parts.device)
        start = torch.cat(groups, dim=2)[:, :, -self._frames :] * scheduler.init_noise_sigma
        way = plain_way(parts, network_of(parts), self._brief.caption(unit.first_frame), request.negative_prompt)
        with parts.company.seat() as seat:
            denoise = guided(way, scale, scale, Turbo(), steps, seat)
            latents = sample_chunk(denoise, start, scheduler, _none, eta=0.0, known=known, on_step=on_step)
        new = latents[0, :, self._known :]
        return pixels.decode(parts.vae, new, batch=8), {"latents": latents[0, :, -self._known :].float().cpu()}

    def _noise(self, like: Tensor, group: int, seed: int) -> Tensor:
        """Of a group of frames, half a window, [1, C, F/2, h, w]: its own in the first window, later that of two groups
        before it, shuffled.
        """
        half = self._frames - self._known
        frames = range(group % 2 * half, group % 2 * half + half)
        drawn = noise.per_frame((like.shape[1], *like.shape[3:]), seed=seed, stage="freenoise", frames=frames)
        if group > 1:
            order = torch.randperm(half, generator=noise.generator(seed=seed, stage="freenoise", index=group))
            drawn = drawn[:, order]
        return drawn.unsqueeze(0).to(like.device)


def _none(step: int) -> Any:
    """DDIM without eta draws no noise."""
