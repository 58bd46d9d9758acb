"""The caption-swap gap: how much worse the network's loss gets when the caption's motion is turned around.

A few seconds on a CPU, and it shows that a network begins to hear direction words long before its samples do. Owns
the measurement; knows nothing of training.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import torch

from models.shapes import world
from models.shapes.language import MOTIONS, Actor, Caption
from models.streaming_t2v.text import encode, pooled_for


@torch.no_grad()
def caption_gap(parts: Any, *, clips: int = 32, noise_levels: tuple[float, float] = (0.5, 1.0), seed: int = 0) -> float:
    """Mean loss with the opposite motion less the loss with the true one, on drawn held-out clips.

    parts: has `tokenizer`, `text_encoder`, `vae`, `scheduler` and `first_chunk`. noise_levels: share of the schedule
    that timesteps are drawn from; only near pure noise does direction change the best prediction. 0 means deaf.
    """
    rng, draw = random.Random(seed), torch.Generator().manual_seed(seed)
    captions = [_moving_caption(rng) for _ in range(clips)]
    pixels = torch.stack([world.draw(world.scene(caption, rng), range(16), 64) for caption in captions])
    latents = parts.vae.encode(pixels.flatten(0, 1)).latent_dist.mean.unflatten(0, (clips, 16)).transpose(1, 2)
    latents = latents * parts.vae.config.scaling_factor
    low, high = (int(level * parts.scheduler.config.num_train_timesteps) for level in noise_levels)
    t = torch.randint(low, high, (clips,), generator=draw)
    noise = torch.randn(latents.shape, generator=draw)
    noisy, target = parts.scheduler.add_noise(latents, noise, t), parts.scheduler.get_velocity(latents, noise, t)

    def loss(texts: list[str]) -> float:
        text = encode(parts.tokenizer, parts.text_encoder, texts, parts.first_chunk.config.num_text_tokens)
        said = parts.first_chunk(noisy, t, text.tokens, timestep_cond=pooled_for(parts.first_chunk, text.pooled)).sample
        return (said - target).square().mean().item()

    return loss([str(opposite(caption)) for caption in captions]) - loss([str(caption) for caption in captions])


def opposite(caption: Caption) -> Caption:
    """The same look, moving the other way."""
    return replace(caption, actors=tuple(_turned(actor) for actor in caption.actors))


def _turned(actor: Actor) -> Actor:
    x, y = MOTIONS[actor.motion]
    return replace(actor, motion=next(name for name, unit in MOTIONS.items() if unit == (-x, -y)))


def _moving_caption(rng: random.Random) -> Caption:
    while True:
        caption = world.sample_caption(rng, kept_out=True)
        if caption.actors[0].motion != "staying still":
            return caption
