"""Stage `interpolator`: ↑F learns to fill in masked frames, mostly those between known ones.

Source: Make-A-Video (arXiv 2209.14792) section 3.3. Owns which frames are known and how wrong they are. Captions are
never read. The scenes are drawn at fractions of a frame, so what lies between two frames is exact.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor

from longtake.training import clips
from longtake.training.clips import ShapesSource
from longtake.training.first_chunk import SCHEDULE
from longtake.training.folder import frozen, keep
from longtake.training.make_a_video.networks import LATENTS, drawing_differences, plain_network
from longtake.training.objective import target
from longtake.training.recipe import StageRecipe, read
from models.make_a_video.between import FACTORS, ONE_STEP
from models.make_a_video.interpolation import WINDOW, Window, blended, fill, planes
from models.shapes.world import FPS

CHANNELS = (48, 64)
SIZES = ((64, 4, 0.5), (128, 1, 0.5))  # pixels, clips in a batch, share of the batches: both cost the same
DIFFERENCE = 12.0  # a line between known latents is 0.05 to 0.3 off: that is to be as loud as noise
PURE = 0.8  # share of a batch that is pure noise: what one step makes of it is nearly all that there is to learn
STILL = 0.3  # a clip that moves less than that (as variance) counts less
REPEATS = 3  # with other masks and noise: drawing and encoding a clip costs half as much as learning from it
WRONG = 0.03  # known latents are noised by up to so much, half of them: they come from frames decoded before


@dataclass(frozen=True, slots=True)
class Masked:
    """Clips, [B, F, 3, H, W] in [-1, 1], their rates in frames a second, and which frames of each repeat are known."""

    pixels: Tensor
    fps: list[float]
    known: list[tuple[int, ...]]


def mask(rng: random.Random, frames: int, spacing: int) -> tuple[int, ...]:
    """Every spacing-th frame; in a twentieth of the cases the first alone (a picture comes to life), in another the
    first half (a clip goes on).
    """
    chance = rng.random()
    if chance < 0.05:
        return (0,)
    if chance < 0.1:
        return tuple(range((frames + 1) // 2))
    return tuple(range(0, frames, spacing))


class InterpolatorStage:
    """Velocity loss on the frames that are not known: the known ones are put back after sampling.

    A clip counts by how much it moves: else those of which only the first frame is known would be all that is learned.
    """

    name = "interpolator"
    needs = ("vae",)

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or read("tiny-make-a-video").stages[self.name]
        self.vae = frozen(AutoencoderKL, checkpoint / "vae").to(memory_format=torch.channels_last)
        self.frozen = (self.vae,)
        image = plain_network(CHANNELS, 8, colours=LATENTS)
        self.learner: Any = drawing_differences(checkpoint / "interpolator", image, LATENTS + 1, DIFFERENCE)
        self.scheduler = DDIMScheduler(**SCHEDULE)

    def draw(self, rng: random.Random, done: float) -> Masked:
        ((size, count, _),) = rng.choices(SIZES, weights=[share for *_, share in SIZES])
        spacing = rng.choice(FACTORS)
        spans = (WINDOW - 1) // spacing
        frames = (spans if rng.random() < 0.7 else rng.randint(1, spans)) * spacing + 1
        rates = [float(spacing if rng.random() < 0.7 else rng.choice((1, *FACTORS))) for _ in range(count)]
        source = ShapesSource(size, pairs=0.2, latest=72)
        drawn = [source.clip(rng, [k / rate for k in range(frames)]).pixels for rate in rates]
        masks = [mask(rng, frames, spacing) for _ in range(count * REPEATS)]
        return Masked(torch.stack(drawn), [FPS * rate for rate in rates] * REPEATS, masks)

    def loss(self, batch: Masked, rng: random.Random, done: float) -> Tensor:
        with torch.autocast(self.vae.device.type, enabled=False):  # neighbours differ in the last digits
            latents = clips.encode(self.vae, batch.pixels).repeat(REPEATS, 1, 1, 1, 1)
        expected, mask = self.expected(latents, batch.known).split((LATENTS, 1), dim=1)
        missing = (latents - expected) * self.learner.config.difference
        expected = expected + self.wrong(latents, batch.known, rng)
        steps, count = self.scheduler.config.num_train_timesteps, len(latents)
        t = torch.randint(0, steps, (count,))
        t[torch.rand(count) < PURE] = steps - 1
        t = t.to(latents.device)
        noise = torch.randn_like(latents)
        noisy = self.scheduler.add_noise(missing, noise, t)
        fps, beside = torch.tensor(batch.fps, device=latents.device), torch.cat([expected, mask], dim=1)
        made = self.learner(noisy, t, fps=fps, beside=beside).sample
        errors = (made.float() - target(self.scheduler, missing, noise, t)).square() * (1 - mask)
        sizes = (missing.square() * (1 - mask)).mean((1, 2, 3, 4), keepdim=True)
        return (errors / (STILL + sizes)).sum() / ((1 - mask).sum() * LATENTS)

    def expected(self, latents: Tensor, known: list[tuple[int, ...]]) -> Tensor:
        """The planes, [B, C + 1, F, h, w]: known frames blended, and the mask."""
        frames = latents.shape[2]
        laid = []
        for clip, at in zip(latents.split(1), known, strict=True):
            shown = clip[:, :, list(at)]
            laid.append(torch.cat([blended(shown, at, frames), planes(shown, at, frames)[:, -1:]], dim=1))
        return torch.cat(laid)

    def wrong(self, latents: Tensor, known: list[tuple[int, ...]], rng: random.Random) -> Tensor:
        """How far half of the known frames are off, blended. Made frames are to be off likewise, or they would flicker
        among those that are given.
        """
        off = []
        for clip, at in zip(latents.split(1), known, strict=True):
            amount = WRONG * max(0.0, rng.uniform(-1, 1))
            off.append(blended(amount * torch.randn_like(clip[:, :, list(at)]), at, clip.shape[2]))
        return torch.cat(off)

    @torch.no_grad()
    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / "interpolator")
        keep(self.scheduler, self.folder / "scheduler")
        rng = random.Random(2**31)
        made, lines = [], []
        for _ in range(8):
            pixels = ShapesSource(64, pairs=0.2, latest=72).clip(rng, [k / 5 for k in range(16)]).pixels
            latents = clips.encode(self.vae, pixels[None])
            known = latents[:, :, ::5]
            window = Window(0, 15, (0, 5, 10, 15))
            filled = fill(learner, self.scheduler, known, window, ONE_STEP, seed=0, fps=5.0 * FPS)
            made.append((filled - latents).square().mean())
            lines.append((blended(known, (0, 5, 10, 15), 16) - latents).square().mean())
        return f"error {torch.stack(made).mean():.4f} of latents; of those blended {torch.stack(lines).mean():.4f}"
