"""Training clips as latents: drawn and encoded on the fly, each used a few times.

Owns the pool; knows nothing of losses.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.shapes import world

SIZED = 0.5  # small actors are one latent wide and the hardest to draw: more of them than captions usually name


@dataclass(frozen=True, slots=True)
class Clip:
    """One drawn clip: latents [C, F, h, w] (scaled), its caption, and pixels [F, 3, H, W] where they are kept."""

    latents: Tensor
    caption: str
    first_frame: int
    pixels: Tensor | None


class ClipPool:
    """A ring of encoded clips that is renewed by `fresh` clips a batch."""

    def __init__(
        self,
        vae: Any,
        *,
        size: int,
        frames: int,
        fresh: int,
        pairs: float,
        latest: int = 0,
        keep_pixels: int = 0,
    ):
        """latest: the highest first frame (0: always the start of the scene); keep_pixels: how many frames of them."""
        self.vae, self.size, self.frames, self.fresh = vae.eval().requires_grad_(False), size, frames, fresh
        self.pairs, self.latest, self.keep_pixels = pairs, latest, keep_pixels
        self.ring: deque[Clip] = deque(maxlen=512)

    def batch(self, rng: random.Random, count: int) -> list[Clip]:
        """So many clips, after drawing the fresh ones."""
        self.ring.extend(self._draw(rng, self.fresh if len(self.ring) >= count else count))
        return rng.sample(list(self.ring), count)

    @torch.no_grad()
    def _draw(self, rng: random.Random, count: int) -> list[Clip]:
        scenes, firsts = [], []
        for _ in range(count):
            scenes.append(world.scene(world.sample_caption(rng, pairs=self.pairs, sized=SIZED), rng))
            firsts.append(0 if rng.random() < 0.25 else rng.randint(0, self.latest))
        spans = [range(first, first + self.frames) for first in firsts]
        pixels = torch.stack([world.draw(s, span, self.size) for s, span in zip(scenes, spans, strict=True)])
        latents = encode(self.vae, pixels)
        kept = [p[: self.keep_pixels].clone() if self.keep_pixels else None for p in pixels]
        texts = [str(s.caption) for s in scenes]
        return [Clip(*clip) for clip in zip(latents, texts, firsts, kept, strict=True)]


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Clips [B, F, 3, H, W] -> scaled latents [B, C, F, h, w]."""
    with torch.autocast("cpu", torch.bfloat16):
        mean = vae.encode(pixels.flatten(0, 1)).latent_dist.mean
    latents: Tensor = mean.float() * vae.config.scaling_factor
    return latents.unflatten(0, pixels.shape[:2]).transpose(1, 2)
