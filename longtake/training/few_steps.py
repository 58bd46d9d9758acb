"""Stages `quick_first_chunk` and `quick_chunk`: the networks learn to go in one step, without guidance, where the
teacher goes under guidance in several.

Source: progressive distillation (arXiv 2202.00512) of a guided teacher (arXiv 2210.03142), both at once. Owns that
loss, and what it is given in both stages. The weights that it begins with are the teacher's, and stay in the folder as
they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from longtake.training import clips
from longtake.training.clips import Clips, Source
from longtake.training.first_chunk import FirstChunkStage
from longtake.training.folder import frozen, keep, load
from longtake.training.objective import attention
from longtake.training.recipe import CHUNK_FRAMES, ApmRecipe, StageRecipe
from longtake.training.streaming import DRAWN, ApmStage, Past
from models.streaming_t2v.anchor import embed_no_anchor
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.sampler import guide
from models.streaming_t2v.text import EncodedText, encode
from models.streaming_t2v.unet import StreamingUNet3D

Predict = Callable[[Tensor, Tensor], Tensor]  # noisy latents [B, C, F, h, w], timesteps [B] -> the network's prediction
STEPS = 4  # of the student
FINER = 2  # of the teacher, for each of the student's
SCALE = 2.0  # of the teacher's guidance: the bundled model's own
HUBER = 0.03  # where errors begin to count by themselves, not by their squares


class Ladder:
    """The noise levels of the student's steps, and what DDIM does between them. scheduler: of velocity prediction."""

    def __init__(self, scheduler: Any, steps: int = STEPS, finer: int = FINER):
        if scheduler.config.prediction_type != "v_prediction":
            raise ValueError(f"Networks that predict '{scheduler.config.prediction_type}' are not distilled here.")
        again = DDIMScheduler.from_config(scheduler.config)
        again.set_timesteps(steps * finer)
        self.steps, self.finer = steps, finer
        self.times = torch.cat([again.timesteps, torch.tensor([-1])])  # of noise; the last is none
        self._kept = torch.cat([scheduler.alphas_cumprod, torch.ones(1)])  # so that -1 reads 1

    def draw(self, count: int, device: torch.device) -> Tensor:
        """Times [finer + 1, B] of a step of the student: its beginning, the teacher's in between, its end."""
        rung = self.finer * torch.randint(0, self.steps, (count,))
        return torch.stack([self.times[rung + i] for i in range(self.finer + 1)]).to(device)

    def noised(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        signal, spread = self._levels(t)
        return signal * clean + spread * noise

    def step(self, x: Tensor, velocity: Tensor, t: Tensor, after: Tensor) -> Tensor:
        """DDIM (arXiv 2010.02502) without noise of its own."""
        signal, spread = self._levels(t)
        return self.noised(signal * x - spread * velocity, signal * velocity + spread * x, after)

    def leading(self, x: Tensor, x_after: Tensor, t: Tensor, after: Tensor) -> Tensor:
        """The velocity by which one such step comes from x to x_after."""
        (signal, spread), (signal_after, spread_after) = self._levels(t), self._levels(after)
        straight = signal_after * signal + spread_after * spread
        return (x_after - straight * x) / (spread_after * signal - signal_after * spread)

    def _levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        kept = self._kept.to(t.device)[t].view(-1, 1, 1, 1, 1)
        return kept.sqrt(), (1 - kept).sqrt()


def few_steps_loss(
    student: Predict, teacher: Predict, ladder: Ladder, latents: Tensor, *, known: int = 0, known_weight: float = 1.0
) -> Tensor:
    """How far the velocity that the student predicts is from the one that leads where the teacher comes.

    latents: [B, C, F, h, w]; the first `known` frames are held at their noise levels, as in sampling, and count
    `known_weight` each.
    """
    noise = torch.randn_like(latents)
    times = ladder.draw(len(latents), latents.device)
    x = begun = ladder.noised(latents, noise, times[0])
    with torch.no_grad():
        for t, after in pairwise(times):
            x = ladder.step(x, teacher(x, t).float(), t, after)
            x[:, :, :known] = ladder.noised(latents, noise, after)[:, :, :known]
        goal = ladder.leading(begun, x, times[0], times[-1])
    off = student(begun, times[0]).float() - goal
    errors = ((off.square() + HUBER**2).sqrt() - HUBER).mean((0, 1, 3, 4))  # pseudo-Huber, [F]
    weights = torch.ones_like(errors)
    weights[:known] = known_weight
    return (errors * weights).sum() / weights.sum()


def guided(full: Predict, null: Predict, scale: float = SCALE) -> Predict:
    """Classifier-free guidance of two branches."""

    return lambda x, t: guide((null(x, t), full(x, t)), scale, scale)


class QuickFirstChunkStage(FirstChunkStage):
    """The text-to-video network of the first chunk."""

    name = "quick_first_chunk"

    def __init__(self, checkpoint: Path, recipe: StageRecipe):
        super().__init__(checkpoint, recipe)
        self.teacher = frozen(StreamingUNet3D, checkpoint / "first_chunk")
        self.frozen = (*self.frozen, self.teacher)
        if (begun := checkpoint / self.name).is_dir():
            self.learner = load(StreamingUNet3D, begun)
        self.ladder = Ladder(self.scheduler)

    def draw(self, rng: random.Random, done: float) -> Clips:
        return clips.draw(self.source, rng, 4, CHUNK_FRAMES)

    def loss(self, batch: Clips, rng: random.Random, done: float) -> Tensor:
        latents = clips.encode(self.vae, batch.pixels)
        with attention(latents.device):
            text, null = (self._read(said) for said in (batch.captions, [""] * len(batch.captions)))
            teacher = guided(self._predict(self.teacher, text), self._predict(self.teacher, null))
            return few_steps_loss(self._predict(self.learner, text), teacher, self.ladder, latents)

    @torch.no_grad()
    def _read(self, prompts: list[str]) -> EncodedText:
        return encode(self.tokenizer, self.text, prompts, self.teacher.config.num_text_tokens)

    @staticmethod
    def _predict(network: Any, text: EncodedText) -> Predict:
        return lambda x, t: network(x, t, text.tokens, timestep_cond=text.pooled).sample

    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / self.name)
        return f"written to {self.folder / self.name}"


class QuickChunkStage(ApmStage):
    """The streaming network and CAM; APM stays as it is, the student's like the teacher's."""

    name = told_as = "quick_chunk"
    needs = (*ApmStage.needs, "apm")

    def __init__(self, checkpoint: Path, recipe: ApmRecipe, source: Source = DRAWN):
        super().__init__(checkpoint, recipe, source)
        apm = frozen(AppearancePreservationModule, checkpoint / "apm")
        unet, cam = frozen(StreamingUNet3D, checkpoint / "unet"), frozen(ConditionalAttentionModule, checkpoint / "cam")
        self.apm, self.teacher = apm, nn.ModuleDict({"unet": unet, "cam": cam})
        self.frozen = (*self.frozen, apm, self.teacher)
        self.ladder = Ladder(self.scheduler)

    def networks(self) -> dict[str, nn.Module]:
        parts: dict[str, Any] = {"unet": StreamingUNet3D, "cam": ConditionalAttentionModule}
        begun = {name: self.folder / f"quick_{name}" for name in parts}
        return {
            name: load(part, begun[name] if begun[name].is_dir() else self.folder / name)
            for name, part in parts.items()
        }

    def freeze(self) -> None:
        """Nothing: all of both networks learns."""

    def loss(self, batch: Clips, rng: random.Random, done: float) -> Tensor:
        pixels, latents = self.encode_frames(batch)
        with attention(self.device):
            count = len(batch.captions)
            anchors = self.anchors(pixels, latents, rng, [False] * count)
            text, null = self.encode(batch.captions), self.encode([""] * count)
            nothing = embed_no_anchor(self.image).expand(count, -1)
            pixels, latents = pixels[:, -CHUNK_FRAMES:], latents[:, :, -CHUNK_FRAMES:]
            past = self.remember(pixels[:, : self.known_frames], latents[:, :, : self.known_frames])
            teacher = guided(
                self._predict(self.teacher, past, text, anchors), self._predict(self.teacher, past, null, nothing)
            )
            student, weight = self._predict(self.learner, past, text, anchors), self.recipe.known_weight
            return few_steps_loss(student, teacher, self.ladder, latents, known=self.known_frames, known_weight=weight)

    def _predict(self, networks: Any, past: Past, text: EncodedText, anchors: Tensor) -> Predict:
        unet = networks["unet"]
        context = unet.anchored_context(text.tokens, self.apm(anchors))
        denoiser = self.denoiser_of(networks, context, past, text)
        return lambda x, t: denoiser(x, t, text.tokens, timestep_cond=text.pooled).sample

    def finish(self, learner: Any) -> str:
        for name, module in learner.items():
            keep(module, self.folder / f"quick_{name}")
        return f"written to {self.folder}"
