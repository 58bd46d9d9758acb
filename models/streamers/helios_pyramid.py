"""Helios' pyramid as the streamer: a chunk is drawn small, and each stage doubles its sides and goes on from there.

Source: Helios (arXiv 2603.04379), pyramid unified predictor corrector; the noise between two stages: Pyramidal Flow
Matching (arXiv 2410.05954), section 3.2; guidance: CFG-Zero* (arXiv 2503.18886). Past, state and decoding are Helios'.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models import noise
from models.families.helios_pyramid import steps_of
from models.streamers.helios import Helios
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep

CORRECTION = "helios-correction"
LEAST_VARIANCE = 1e-8  # added, as a gamma of 1/3 leaves the sum of a patch none; too little for single precision
UNMOVED = 2  # steps at the very beginning in which CFG-Zero* moves nothing


class HeliosPyramid(Helios):
    """pipeline: a `HeliosPyramidPipeline`, of which nothing is changed."""

    @torch.no_grad()
    def denoised(self, index: int, first_frame: int, before: State, on_step: OnStep) -> Tensor:
        """The latents of a chunk, float32 [1, C, latents_per_chunk, h, w] on the CPU."""
        scheduler, stages = deepcopy(self._pipeline.scheduler), self._pipeline.scheduler.config.stages
        each = steps_of(self._brief.request.steps, stages)
        if self._is_distilled and index == 0 and self._brief.options["amplify_first_chunk"]:
            each = [2 * steps for steps in each]
        latents, predicted = self._drawn(index, first_frame, before), self._predictor(first_frame, before)
        for _ in range(stages - 1):
            latents = 2 * F.avg_pool3d(latents, (1, 2, 2))  # the mean of four has half their deviation
        done = 0
        for stage, steps in enumerate(each):
            shift = self._shift(latents)  # of the patches before they are four times as many, as it was released
            scheduler.set_timesteps(steps, stage, device=latents.device, mu=shift)
            if stage > 0:
                latents = self._doubled(latents, stage, index * stages + stage, first_frame)
            begun = latents
            for step, t in enumerate(scheduler.timesteps):
                stands = self._is_zero_star and stage == 0 and step < UNMOVED
                velocity = torch.zeros_like(latents) if stands else self._guided(predicted(latents, t.long()))
                told = self._told(scheduler, begun, step) if self._is_distilled else {}
                latents = scheduler.step(velocity, t, latents, return_dict=False, **told)[0].float()
                done += 1
                on_step(done, sum(each))
        return latents.cpu()

    @property
    def _is_distilled(self) -> bool:
        return bool(self._pipeline.config.is_distilled)

    @property
    def _is_zero_star(self) -> bool:
        return self._is_guided and bool(self._pipeline.config.is_cfg_zero_star)

    @staticmethod
    def _told(scheduler: Any, begun: Tensor, step: int) -> dict[str, Any]:
        """What a distilled step hears besides: it sees the end, and noises that with what the stage began with."""
        times = scheduler.timesteps
        return {
            "cur_sampling_step": step,
            "dmd_noisy_tensor": begun,
            "dmd_sigmas": scheduler.sigmas,
            "dmd_timesteps": times,
            "all_timesteps": times,
        }

    def _guided(self, predicted: Tensor) -> Tensor:
        """Guidance away from what is predicted without the text, scaled to be as near as can be to the other."""
        if not self._is_zero_star:
            return super()._guided(predicted)
        with_text, without = predicted.chunk(2)
        nearest = without * ((with_text * without).sum() / ((without**2).sum() + 1e-8))
        return nearest + self._brief.request.guidance_scale * (with_text - nearest)

    def _doubled(self, latents: Tensor, stage: int, draw: int, first_frame: int) -> Tensor:
        """Twice the sides, with as much noise as makes of equal neighbours what this stage was taught to begin with."""
        latents = latents.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
        scheduler = self._pipeline.scheduler
        left, gamma = scheduler.ori_start_sigmas[stage], scheduler.config.gamma
        kept = 1 / (math.sqrt(1 + 1 / gamma) * left + 1 - left)
        added = kept * left / math.sqrt(gamma)
        return kept * latents + added * self._correction(latents, gamma, draw, first_frame)

    def _correction(self, latents: Tensor, gamma: float, draw: int, first_frame: int) -> Tensor:
        """Noise of deviation 1; values of one patch are correlated by -gamma, so that of 1/3 they sum to nothing."""
        _, high, wide = self._pipeline.transformer.config.patch_size
        batch, channels, frames, rows, columns = latents.shape
        shape = (batch, channels, frames, rows // high, columns // wide, high, wide)
        seed = self._brief.request.seed_at(first_frame)
        drawn = noise.gaussian(
            (math.prod(shape) // (high * wide), high * wide), seed=seed, stage=CORRECTION, index=draw
        )
        covariance = (1 + gamma + LEAST_VARIANCE) * torch.eye(high * wide, dtype=torch.float64) - gamma
        correlated = drawn @ torch.linalg.cholesky(covariance).float().T
        return correlated.view(shape).transpose(4, 5).reshape(latents.shape).to(latents)
