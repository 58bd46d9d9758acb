"""The checkpoint's own text-to-video network as the source of first chunks.

Owns its sampling: by DDIM like the chunks after it, or by a scheduler of its own (published: DPM-Solver++). Knows
nothing of CAM, APM or of what follows.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.sampler import Denoise, OnStep, sample_chunk
from models.streaming_t2v.solvers import solver
from models.streaming_t2v.streamer import State, Streamer
from models.streaming_t2v.text import EncodedText, concatenate, pooled_for
from models.streaming_t2v.unet import StreamingUNet3D
from models.streaming_t2v.way import Way, guided
from models.turbo import Turbo


@torch.no_grad()
def draw(
    streamer: Streamer, text: EncodedText, null: EncodedText, *, steps: int, guidance_scale: float, on_step: OnStep
) -> tuple[np.ndarray, State]:
    """The frames a video begins with, uint8 [F, H, W, 3], from the text alone; and the state they leave."""
    parts, own = streamer.parts, streamer.parts.first_chunk_scheduler
    turbo = streamer.settings.turbo
    way = partial(_way, parts, text, null, turbo)
    scheduler = solver(parts.scheduler if own is None else own, turbo.solver, steps, parts.device)
    drawn = streamer.noise(0)
    start = drawn(noise.INITIAL) * scheduler.init_noise_sigma
    with parts.company.seat() as seat:
        denoise = guided(way, guidance_scale, guidance_scale, turbo, steps, seat)
        if own is None:
            latents = sample_chunk(denoise, start, scheduler, drawn, eta=streamer.settings.eta, on_step=on_step)
        else:
            generator = noise.generator(seed=streamer.seed, stage="first-chunk", index=0)
            latents = solve(denoise, start, scheduler, generator, on_step)
    frames = streamer.decode(latents)
    return frames, streamer.begin(frames, latents)


def solve(denoise: Denoise, latents: Tensor, scheduler: Any, generator: torch.Generator, on_step: OnStep) -> Tensor:
    """The loop of any scheduler of diffusers whose timesteps are set; one that draws noise draws from `generator`."""
    drawing = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for i, t in enumerate(scheduler.timesteps):
        prediction = denoise(scheduler.scale_model_input(latents, t), t)
        latents = scheduler.step(prediction, t, latents, **drawing).prev_sample
        on_step(i + 1, len(scheduler.timesteps))
    return latents


def _way(
    parts: StreamingPipeline, text: EncodedText, null: EncodedText, turbo: Turbo, branches: tuple[str, ...]
) -> Way:
    """How the network is asked for these branches of guidance; a released one keeps no features between steps."""
    network, own = parts.first_chunk, isinstance(parts.first_chunk, StreamingUNet3D)
    texts = concatenate([null if name == "null" else text for name in branches])
    context = network.context(texts.tokens) if own else texts.tokens
    return Way(
        network, len(branches), context, pooled_for(network, texts.pooled), keeps_deep=own and turbo.deep_every > 1
    )
