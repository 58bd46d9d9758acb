"""Training clips, every batch of them fresh: a pure function of the random generator it is given.

Owns where clips come from and how they become latents and pixels again; knows nothing of losses.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from models.shapes import world

CAPTION_DROP = 0.1
PIXELS_AT_ONCE = 2**21  # 32 frames of 256x256
SIZED = 0.5  # small actors are one latent wide and the hardest to draw: more of them than captions usually name


class Drawn(NamedTuple):
    """Frames [F, 3, H, W] in [-1, 1], and what is said of them."""

    pixels: Tensor
    caption: str


class Source(Protocol):
    """Where clips come from."""

    def clip(self, rng: random.Random, frames: Sequence[int]) -> Drawn:
        """A random clip's frames of these numbers, counted from where the clip begins; the clip spans all of them."""


@dataclass(frozen=True, slots=True)
class ShapesSource:
    """The shapes world, drawn as it is needed.

    size: pixels. pairs: the share of captions with two actors. latest: the highest frame of a scene at which a clip
    begins; a quarter begins with the scene, as first chunks do.
    """

    size: int
    pairs: float
    latest: int = 0

    def clip(self, rng: random.Random, frames: Sequence[float]) -> Drawn:
        scene = world.scene(world.sample_caption(rng, pairs=self.pairs, sized=SIZED), rng)
        first = 0 if rng.random() < 0.25 else rng.randint(0, self.latest)
        return Drawn(world.draw(scene, [first + frame for frame in frames], self.size), str(scene.caption))


@dataclass(frozen=True, slots=True)
class Clips:
    """A batch of clips: pixels [B, F, 3, H, W] in [-1, 1], frame numbers [B, F], captions."""

    pixels: Tensor
    numbers: Tensor
    captions: list[str]


def draw(source: Source, rng: random.Random, count: int, frames: int, of: int | None = None) -> Clips:
    """So many clips of so many frames; `of`: choose the frames at random from that many, for each clip anew."""
    numbers = [sorted(rng.sample(range(of), frames)) if of else list(range(frames)) for _ in range(count)]
    drawn = [source.clip(rng, chosen) for chosen in numbers]
    pixels = torch.stack([clip.pixels for clip in drawn])
    return Clips(pixels, torch.tensor(numbers), [clip.caption for clip in drawn])


def some_dropped(captions: list[str], rng: random.Random, share: float = CAPTION_DROP) -> list[str]:
    """The captions, some of them left out for classifier-free guidance."""
    return ["" if rng.random() < share else caption for caption in captions]


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Clips [B, F, 3, H, W] -> scaled latents [B, C, F, h, w], where the autoencoder is."""
    frames = pixels.flatten(0, 1).split(_at_once(*pixels.shape[-2:]))
    means = [vae.encode(some.to(vae.device, vae.dtype)).latent_dist.mean.float() for some in frames]
    latents: Tensor = torch.cat(means) * vae.config.scaling_factor
    return latents.unflatten(0, pixels.shape[:2]).transpose(1, 2)


@torch.no_grad()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Scaled latents [B, C, F, h, w] -> pixels [B, F, 3, H, W] in [-1, 1]."""
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    frames = (latents / vae.config.scaling_factor).transpose(1, 2).flatten(0, 1)
    some = frames.split(_at_once(*(factor * side for side in latents.shape[-2:])))
    pixels = torch.cat([vae.decode(part.to(vae.dtype)).sample.float().clamp(-1, 1) for part in some])
    return pixels.unflatten(0, (latents.shape[0], latents.shape[2]))


def _at_once(height: int, width: int) -> int:
    """Frames that an autoencoder is given together; its features take a hundred times the room of the pixels."""
    return max(1, PIXELS_AT_ONCE // (height * width))
