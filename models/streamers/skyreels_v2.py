"""SkyReels-V2 as the streamer: a chunk is drawn after the last latents before it, which stay as they are.

Source: SkyReels-V2 (arXiv 2504.13074) with diffusion forcing (arXiv 2407.01392): each latent has its own noise level,
the known ones a low one. Owns the loop over steps and blocks, and the state.

The state: `latents`, the last ones before the next chunk, float32 [1, C, K, h, w], zeros where there were none yet; K
is that of the overlap, or of what the VAE is shown again where that is more. With `vae_features` also `vae.…`, what the
VAE kept (`models.streamers.causal_vae`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise
from models.request import Brief
from models.streamers import causal_vae
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep
from models.units import Unit

STAGE = "skyreels-v2"
PAST = "skyreels-v2-past"  # the noise that the known latents are shown with
MAX_TOKENS = 512
VAE = "vae."
FAST = 1  # what the network is told of 24 frames a second; 0 is 16


@dataclass(frozen=True)
class Plan:
    """Which latent is where at which step.

    levels: the timestep of each latent, int64 [steps, F]; 0 of one that is known. moves: whether it takes that step,
    bool [steps, F]. together: spans of latents that do the same at every step; what is known is in none of them.
    """

    levels: Tensor
    moves: Tensor
    together: tuple[slice, ...]


class SkyReelsV2:
    """pipeline: a `SkyReelsV2DiffusionForcingPipeline`, or the one for pictures. Nothing of it is changed."""

    def __init__(self, pipeline: Any, brief: Brief):
        self._pipeline, self._brief, self._options = pipeline, brief, brief.options
        self._factor = pipeline.vae_scale_factor_temporal
        self._overlap = self._latents(self._options["overlap_history"])
        self._context = 0 if self._options["vae_features"] else self._options["vae_context"]
        if not self._context and not self._options["vae_features"]:
            self._context = causal_vae.looks_back(pipeline.vae)

    @torch.no_grad()
    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """From nothing, or after a picture, which is then the first latent."""
        size, side = self._brief.model.size, self._pipeline.vae_scale_factor_spatial
        channels = self._pipeline.transformer.config.in_channels
        nothing = torch.zeros(1, channels, 0, size.height // side, size.width // side)
        made = self.denoised(0, 0, self._picture(nothing), on_step)
        frames, features = self.decoded(made, nothing, {})
        return causal_vae.as_bytes(frames), self._left(made, features)

    @torch.no_grad()
    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        """The frames after those that are known."""
        there = min(self._latents(unit.first_frame), self._kept)
        past = before["latents"][:, :, self._kept - there :]
        made = self.denoised(unit.index, unit.first_frame, past[:, :, -self._overlap :], on_step)
        new = made[:, :, self._overlap :]
        features = {name.removeprefix(VAE): kept for name, kept in before.items() if name.startswith(VAE)}
        frames, features = self.decoded(new, past, features)
        return causal_vae.as_bytes(frames), self._left(torch.cat([past, new], dim=2), features)

    @torch.no_grad()
    def denoised(self, index: int, first_frame: int, known: Tensor, on_step: OnStep) -> Tensor:
        """The latents of a chunk, float32 [1, C, F, h, w] on the CPU; the first of them are the known ones."""
        network, request = self._pipeline.transformer, self._brief.request
        seed, fixed = request.seed_at(first_frame), known.shape[2]
        shape = (*known.shape[:2], self._latents(self._options["base_frames"]), *known.shape[3:])
        drawn = noise.gaussian(shape, seed=seed, stage=STAGE, index=index)
        latents, text = torch.cat([known, drawn[:, :, fixed:]], dim=2).to(network.device), self._text(first_frame)
        with self._blocks() as block:
            plan, schedulers = self._plan(shape[2], fixed, block)
            for step, (levels, moves) in enumerate(zip(plan.levels, plan.moves, strict=True)):
                grain = noise.gaussian(known.shape, seed=seed, stage=PAST, index=index, step=step)
                predicted = self._predicted(*self._shown(latents, levels, grain), text)
                for span, scheduler in zip(plan.together, schedulers, strict=True):
                    if moves[span.start]:
                        # A view, as in the published loop: the solver remembers it, and finds the first one changed.
                        part = predicted[:, :, span], levels[span.start], latents[:, :, span]
                        latents[:, :, span] = scheduler.step(*part, return_dict=False)[0].float()
                on_step(step + 1, len(plan.levels))
        return latents.cpu()

    def decoded(self, new: Tensor, past: Tensor, features: causal_vae.Features) -> tuple[Tensor, causal_vae.Features]:
        """The frames of new latents, float32 [1, 3, F, H, W] in -1..1, and what the VAE keeps, if asked for."""
        if self._options["vae_features"]:
            return causal_vae.decode(self._pipeline.vae, new, features)
        seen = past[:, :, max(0, past.shape[2] - self._context) :]
        frames, _ = causal_vae.decode(self._pipeline.vae, torch.cat([seen, new], dim=2), skip=seen.shape[2])
        return frames, {}

    @property
    def _kept(self) -> int:
        """How many latents are in the state."""
        return max(self._overlap, self._context)

    @property
    def _guided(self) -> bool:
        return self._brief.request.guidance_scale > 1

    def _latents(self, frames: int) -> int:
        return int((frames - 1) // self._factor + 1)

    def _left(self, latents: Tensor, features: causal_vae.Features) -> State:
        missing = max(0, self._kept - latents.shape[2])
        padded = torch.nn.functional.pad(latents, (0, 0, 0, 0, missing, 0))
        kept = {"latents": padded[:, :, -self._kept :].clone()}
        return kept | {VAE + name: feature for name, feature in features.items()}

    def _picture(self, nothing: Tensor) -> Tensor:
        """The latent of the request's picture, [1, C, 1, h, w], the middle of the posterior; `nothing` without one."""
        image, size = self._brief.request.image, self._brief.model.size
        if image is None:
            return nothing
        return causal_vae.encode(self._pipeline.vae, causal_vae.picture(image, size.height, size.width)).cpu()

    def _plan(self, count: int, fixed: int, block: int) -> tuple[Plan, list[Any]]:
        """Where each latent is at each step, and a scheduler for each span of latents.

        A block that is partly known, as one that begins with a picture, is planned as if it were not; what is known of
        it then stands still, where diffusers' pipeline would draw over it.
        """
        device, steps = self._pipeline.transformer.device, self._brief.request.steps
        scheduler = deepcopy(self._pipeline.scheduler)
        scheduler.set_timesteps(steps, device=device)
        levels, _, moves, _ = self._pipeline.generate_timestep_matrix(
            count, scheduler.timesteps, count, self._options["ar_step"], fixed, block
        )
        levels[:, :fixed] = 0
        ways = [(levels[:, i].tolist(), moves[:, i].tolist()) for i in range(count)]
        ends = [*(i for i in range(fixed + 1, count) if ways[i] != ways[i - 1]), count]
        together = tuple(slice(start, end) for start, end in zip([fixed, *ends[:-1]], ends, strict=True))
        return Plan(levels, moves, together), [deepcopy(scheduler) for _ in together]

    def _shown(self, latents: Tensor, levels: Tensor, grain: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is shown: the known latents with a little noise, and said to have it."""
        level, fixed = self._options["addnoise_condition"], grain.shape[2]
        if not level or not fixed:
            return latents, levels
        share = level / 1000
        known = (1 - share) * latents[:, :, :fixed] + share * grain.to(latents)
        said = torch.cat([torch.full_like(levels[:fixed], level), levels[fixed:]])
        return torch.cat([known, latents[:, :, fixed:]], dim=2), said

    def _predicted(self, latents: Tensor, levels: Tensor, text: Tensor) -> Tensor:
        """The velocity, float32 [1, C, F, h, w], guided where that is asked for."""
        network = self._pipeline.transformer
        both = latents.to(network.dtype).expand(len(text), -1, -1, -1, -1)
        told = levels.to(network.device).expand(len(text), -1)
        predicted = network(both, told, text, enable_diffusion_forcing=True, fps=[FAST], return_dict=False)[0].float()
        if not self._guided:
            return predicted
        with_text, without = predicted.chunk(2)
        return without + self._brief.request.guidance_scale * (with_text - without)

    def _text(self, first_frame: int) -> Tensor:
        """[1 or 2, MAX_TOKENS, D]: the prompt, and where there is guidance what is not to be seen."""
        brief, network = self._brief, self._pipeline.transformer
        read = self._pipeline.encode_prompt(
            brief.caption(first_frame), brief.negative_prompt, self._guided, max_sequence_length=MAX_TOKENS
        )
        return torch.cat([part for part in read if part is not None]).to(network.device, network.dtype)

    @contextmanager
    def _blocks(self) -> Iterator[int]:
        """The network with blocks of the asked size, which its configuration says; afterwards with its own again."""
        network, own = self._pipeline.transformer, self._pipeline.transformer.config.num_frame_per_block
        network.register_to_config(num_frame_per_block=self._options["causal_block_size"] or own)
        try:
            yield network.config.num_frame_per_block
        finally:
            network.register_to_config(num_frame_per_block=own)
