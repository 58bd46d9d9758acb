"""Stage `sharpener`: SRₕ learns to double single pictures, as they are drawn and as autoencoders leave them.

Source: Make-A-Video (arXiv 2209.14792) section 3.2. Owns which pictures are enlarged and how bad they are. Captions
are never read.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor

from longtake.training.clips import SIZED, decode, encode
from longtake.training.first_chunk import SCHEDULE
from longtake.training.folder import frozen, keep
from longtake.training.make_a_video.networks import drawing_differences, plain_network
from longtake.training.objective import target
from longtake.training.recipe import StageRecipe, read
from models.make_a_video.enlargement import Enlarger, enlarged
from models.make_a_video.upscaling import TWICE
from models.shapes import world

CHANNELS = (16, 32, 48)
SIDE, COUNT = 64, 6  # pixels of a small picture, pictures in a batch
SIZES = (64, 128)  # of the small videos that it is offered for
DIFFERENCE = 20.0  # bilinear enlargement is a twentieth off: that is to be as loud as noise
PURE = 0.8  # share of a batch that is pure noise: what one step makes of it is nearly all that there is to learn
AUGMENTATION = 0.03  # the share of the schedule up to which the small picture is noised; it is told how far
LATENT_NOISE = 0.15  # what networks draw is not exactly what the encoder makes


class Pairs(NamedTuple):
    """Pictures in [-1, 1]: small [N, 3, s, s], and large [N, 3, 2s, 2s]."""

    small: Tensor
    large: Tensor


def pairs(rng: random.Random, count: int, size: int) -> Pairs:
    """The same places of the same scenes at `size` and at twice that; where this is large, only a part that holds the
    first actor's centre.
    """
    small, large = [], []
    for _ in range(count):
        scene = world.scene(world.sample_caption(rng, pairs=0.3, sized=SIZED), rng)
        frame = rng.uniform(0, 72)
        centre = scene.bodies[0].centre(frame)
        left, top = (min(max(int(c * size) - rng.randrange(SIDE), 0), size - SIDE) for c in centre)
        small.append(world.draw(scene, [frame], size, (left, top, SIDE)))
        large.append(world.draw(scene, [frame], 2 * size, (2 * left, 2 * top, 2 * SIDE)))
    return Pairs(torch.cat(small), torch.cat(large))


class SharpenerStage:
    """Velocity loss on what bilinear enlargement misses."""

    name = "sharpener"
    needs = ("vae",)

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or read("tiny-make-a-video").stages[self.name]
        self.vae = frozen(AutoencoderKL, checkpoint / "vae").to(memory_format=torch.channels_last)
        self.frozen = (self.vae,)
        image = plain_network(CHANNELS, 2 * SIDE, colours=3, hears_level=True)
        self.learner: Any = drawing_differences(checkpoint / "sharpener", image, 3, DIFFERENCE)
        self.scheduler = DDIMScheduler(**SCHEDULE)

    def draw(self, rng: random.Random, done: float) -> Pairs:
        return pairs(rng, COUNT, rng.choice(SIZES))

    def loss(self, batch: Pairs, rng: random.Random, done: float) -> Tensor:
        device = self.learner.device
        small, large = self.worse(batch.small.to(device), rng), batch.large.to(device)
        wide = enlarged(small.unsqueeze(2), 2)  # [N, 3, 1, 2s, 2s]: each is a clip of one frame
        missing = (large.unsqueeze(2) - wide) * self.learner.config.difference
        steps, count = self.scheduler.config.num_train_timesteps, len(small)
        t = torch.randint(0, steps, (count,))
        t[torch.rand(count) < PURE] = steps - 1
        level = (torch.rand(count) * AUGMENTATION * steps).long()
        noise = torch.randn_like(missing)
        beside = self.scheduler.add_noise(wide, torch.randn_like(wide), level.to(device))
        noisy = self.scheduler.add_noise(missing, noise, t.to(device))
        made = self.learner(noisy, t.to(device), beside=beside, level=level.to(device)).sample
        return (made.float() - target(self.scheduler, missing, noise, t.to(device))).square().mean()

    def worse(self, small: Tensor, rng: random.Random) -> Tensor:
        """A third as it was drawn, a third through the autoencoder, a third through it from latents with noise."""
        kind = rng.randrange(3)
        if kind:
            with torch.autocast(small.device.type, enabled=False):
                latents = encode(self.vae, small.unsqueeze(1))
                latents += (kind == 2) * rng.uniform(0, LATENT_NOISE) * torch.randn_like(latents)
                small = decode(self.vae, latents)[:, 0]
        return ((small + 1) * 127.5).round() / 127.5 - 1  # frames come as bytes

    @torch.no_grad()
    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / "sharpener")
        keep(self.scheduler, self.folder / "scheduler")
        rng, said = random.Random(2**31), []
        for size in SIZES:
            small, large = pairs(rng, 8, size)
            small = self.worse(small, random.Random(0))
            pieces = Enlarger(learner, self.scheduler, TWICE, seed=0).run(small.transpose(0, 1)[None])
            sharp = torch.cat(list(pieces), dim=2)[0].transpose(0, 1)
            said.append(f"{size}px {psnr(sharp, large):.1f} dB, bicubic {psnr(bicubic(small), large):.1f}")
        return "; ".join(said)


def bicubic(small: Tensor) -> Tensor:
    return F.interpolate(small, scale_factor=2, mode="bicubic", align_corners=False).clamp(-1, 1)


def psnr(made: Tensor, real: Tensor) -> float:
    """In dB, mean over pictures [N, 3, H, W] in [-1, 1]."""
    error = (made.clamp(-1, 1) - real).square().mean((1, 2, 3)).clamp(min=1e-10)
    return float((-10 * torch.log10(error / 4)).mean())
