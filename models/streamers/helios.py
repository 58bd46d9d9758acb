"""Helios as the streamer: every chunk is drawn with the latents before it in view, and the video's first one.

Source: Helios (arXiv 2603.04379), unified history injection and multi-term memory patchification: the longer ago, the
larger the patches. Owns the loop and the state; the network, its schedule and the VAE are the checkpoint's.

The state: `history`, the last latents, float32 [1, C, long + mid + short, h, w], zeros where there was nothing yet; and
`first`, the video's first latent, [1, C, 1, h, w]. A chunk is decoded by itself, so the VAE leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise
from models.families.helios import history_sizes
from models.request import Brief
from models.streamers import causal_vae
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep
from models.units import Unit

STAGE = "helios"
PICTURE = "helios-picture"
MAX_TOKENS = 512

#: Between these a picture's share of noise is drawn: the network was trained on a past that is not clean.
LEAST_NOISE, MOST_NOISE = 0.111, 0.135


class Helios:
    """pipeline: a `HeliosPipeline`, of which nothing is changed."""

    def __init__(self, pipeline: Any, brief: Brief):
        self._pipeline, self._brief = pipeline, brief
        self._sizes = history_sizes(brief.options["history_sizes"])
        self._latents = int(brief.options["latents_per_chunk"])

    @torch.no_grad()
    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """From nothing, or from a picture, which is then the first latent and the only one in the past."""
        state = self._start()
        made = self.denoised(0, 0, state, on_step)
        first = state["first"] if self._brief.request.image is not None else made[:, :, :1]
        return self._left(made, state["history"], first)

    @torch.no_grad()
    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        """The next chunk, all of it new."""
        made = self.denoised(unit.index, unit.first_frame, before, on_step)
        return self._left(made, before["history"], before["first"])

    @torch.no_grad()
    def denoised(self, index: int, first_frame: int, before: State, on_step: OnStep) -> Tensor:
        """The latents of a chunk, float32 [1, C, latents_per_chunk, h, w] on the CPU."""
        latents, predicted = self._drawn(index, first_frame, before), self._predictor(first_frame, before)
        scheduler = self._scheduler(latents)
        for done, t in enumerate(scheduler.timesteps, start=1):
            velocity = self._guided(predicted(latents, t))
            latents = scheduler.step(velocity, t, latents, return_dict=False)[0].float()
            on_step(done, len(scheduler.timesteps))
        return latents.cpu()

    def decoded(self, latents: Tensor) -> Tensor:
        """The frames of a chunk, float32 [1, 3, F, H, W] in -1..1."""
        return causal_vae.alone(self._pipeline.vae, latents)

    @property
    def _is_guided(self) -> bool:
        return self._brief.request.guidance_scale > 1

    def _drawn(self, index: int, first_frame: int, before: State) -> Tensor:
        """What a chunk begins with: noise, float32 [1, C, latents_per_chunk, h, w]."""
        network = self._pipeline.transformer
        shape = (1, network.config.in_channels, self._latents, *before["first"].shape[-2:])
        seed = self._brief.request.seed_at(first_frame)
        return noise.gaussian(shape, seed=seed, stage=STAGE, index=index).to(network.device)

    def _predictor(self, first_frame: int, before: State) -> Callable[[Tensor, Tensor], Tensor]:
        """What the network predicts for latents at a time: float32 [1 or 2, C, F, h, w], with text and without."""
        network, text = self._pipeline.transformer, self._text(first_frame)
        past = self._past(before, len(text))

        def predicted(latents: Tensor, t: Tensor) -> Tensor:
            both = latents.to(network.dtype).expand(len(text), -1, -1, -1, -1)
            velocity: Tensor = network(both, t.expand(len(text)), text, **past, return_dict=False)[0]
            return velocity.float()

        return predicted

    def _guided(self, predicted: Tensor) -> Tensor:
        """Classifier-free guidance, where there is any."""
        if not self._is_guided:
            return predicted
        with_text, without = predicted.chunk(2)
        return without + self._brief.request.guidance_scale * (with_text - without)

    def _left(self, made: Tensor, history: Tensor, first: Tensor) -> tuple[np.ndarray, State]:
        past = torch.cat([history, made], dim=2)[:, :, -sum(self._sizes) :]
        return causal_vae.as_bytes(self.decoded(made)), {"history": past.clone(), "first": first.clone()}

    def _start(self) -> State:
        """What is before the first chunk: nothing, which is zeros; or a picture."""
        size, vae = self._brief.model.size, self._pipeline.vae
        side = vae.config.scale_factor_spatial
        shape = (1, self._pipeline.transformer.config.in_channels, 1, size.height // side, size.width // side)
        nothing = torch.zeros(shape)
        if self._brief.request.image is None:
            return {"history": nothing.repeat(1, 1, sum(self._sizes), 1, 1), "first": nothing}
        video = causal_vae.picture(self._brief.request.image, size.height, size.width)
        still = video.expand(-1, -1, self._brief.model.chunk_frames, -1, -1)  # the picture as a film that stands
        first = self._noised(self._encoded(video, 1, 0), 2)
        last = self._noised(self._encoded(still, self._latents, 1)[:, :, -1:], 3)
        return {"history": torch.cat([nothing.repeat(1, 1, sum(self._sizes) - 1, 1, 1), last], dim=2), "first": first}

    def _encoded(self, video: Tensor, latents: int, draw: int) -> Tensor:
        """Drawn from the VAE's posterior: [1, C, latents, h, w] on the CPU."""
        vae, side = self._pipeline.vae, self._pipeline.vae.config.scale_factor_spatial
        shape = (1, vae.config.z_dim, latents, *(length // side for length in video.shape[-2:]))
        return causal_vae.encode(vae, video, self._picture_noise(shape, draw)).cpu()

    def _noised(self, latents: Tensor, draw: int) -> Tensor:
        """With a share of noise, which is drawn as well."""
        source = noise.generator(seed=self._brief.request.seed_at(0), stage=PICTURE, index=draw)
        share = LEAST_NOISE + (MOST_NOISE - LEAST_NOISE) * torch.rand(1, generator=source)
        return share * self._picture_noise(tuple(latents.shape), draw) + (1 - share) * latents

    def _picture_noise(self, shape: tuple[int, ...], draw: int) -> Tensor:
        return noise.gaussian(shape, seed=self._brief.request.seed_at(0), stage=PICTURE, index=draw)

    def _past(self, before: State, batch: int) -> dict[str, Tensor]:
        """What the network is told of the past: three spans of it, and their places in time before the chunk's."""
        network = self._pipeline.transformer
        history = before["history"].to(network.device, network.dtype)
        long, mid, short = history.split(self._sizes, dim=2)
        short = torch.cat([before["first"].to(short), short], dim=2)
        places = torch.arange(1 + sum(self._sizes) + self._latents, device=network.device)[None]
        first, *spans, own = places.split([1, *self._sizes, self._latents], dim=1)
        seen = {"long": (long, spans[0]), "mid": (mid, spans[1]), "short": (short, torch.cat([first, spans[2]], dim=1))}
        told = {"indices_hidden_states": own}
        for name, (latents, at) in seen.items():
            told[f"latents_history_{name}"] = latents.expand(batch, -1, -1, -1, -1)
            told[f"indices_latents_history_{name}"] = at
        return told

    def _text(self, first_frame: int) -> Tensor:
        """[1 or 2, MAX_TOKENS, D]: the prompt, and where there is guidance what is not to be seen."""
        brief, network = self._brief, self._pipeline.transformer
        read = self._pipeline.encode_prompt(
            brief.caption(first_frame), brief.negative_prompt, self._is_guided, max_sequence_length=MAX_TOKENS
        )
        return torch.cat([part for part in read if part is not None]).to(network.device, network.dtype)

    def _scheduler(self, latents: Tensor) -> Any:
        """One of its own for the chunk."""
        scheduler = deepcopy(self._pipeline.scheduler)
        steps = self._brief.request.steps
        sigmas = np.linspace(0.999, 0.0, steps + 1)[:-1]
        scheduler.set_timesteps(steps, device=latents.device, sigmas=sigmas, mu=self._shift(latents))
        return scheduler

    def _shift(self, latents: Tensor) -> float:
        """How far the schedule is shifted to the noise for latents of so many patches."""
        config, patch = self._pipeline.scheduler.config, self._pipeline.transformer.config.patch_size
        length = latents[0, 0].numel() // (patch[0] * patch[1] * patch[2])
        ends = (("base_image_seq_len", 256), ("max_image_seq_len", 4096), ("base_shift", 0.5), ("max_shift", 1.15))
        shortest, longest, least, most = (config.get(name, default) for name, default in ends)
        return float(least + (most - least) * (length - shortest) / (longest - shortest))
