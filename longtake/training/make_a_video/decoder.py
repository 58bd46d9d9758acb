"""Stages `image_decoder` and `video_decoder`: D learns how things look, and Dᵗ, which begins as D, how they move.

Source: Make-A-Video (arXiv 2209.14792) sections 3.2, 3.3 and 3.5. Both draw from the CLIP embedding of a picture; no
caption is ever read. Owns what they are shown; the networks' sizes are `networks`'.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from longtake.training import clips
from longtake.training.clips import Clips, ShapesSource
from longtake.training.first_chunk import SCHEDULE
from longtake.training.folder import begin, frozen, keep, load
from longtake.training.make_a_video.networks import embedding_network
from longtake.training.make_a_video.rates import rate
from longtake.training.objective import attention, target
from longtake.training.recipe import StageRecipe, read
from models.make_a_video.network import SpaceTimeUNet, inflate
from models.shapes.world import FPS
from models.streaming_t2v.anchor import embed_anchor

CHANNELS = (64, 96)
SIZE, PAIRS = 64, 0.12
PICTURES, CLIPS, FRAMES = 48, 6, 16  # of a batch; frames of a clip
REPEATS = 2  # of a batch, with other noise: encoding costs half as much as learning
DROP_EMBEDDING = 0.1  # for guidance


class _DecoderStage(ABC):
    """What both have in common: velocity loss over all noise levels, half of them from the noisier half."""

    name: str
    needs: tuple[str, ...] = ("vae", "image_encoder")

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or read("tiny-make-a-video").stages[self.name]
        self.vae = frozen(AutoencoderKL, checkpoint / "vae").to(memory_format=torch.channels_last)
        self.image = frozen(CLIPVisionModelWithProjection, checkpoint / "image_encoder")
        self.frozen = (self.vae, self.image)
        self.scheduler = DDIMScheduler(**SCHEDULE)
        self.learner: Any = self.network()

    @abstractmethod
    def network(self) -> Any:
        """What learns: the one in the folder, or as it begins."""

    @abstractmethod
    def said(self, noisy: Tensor, t: Tensor, embedding: Tensor, batch: Clips) -> Tensor:
        """The network's prediction for clips [B, C, F, h, w]."""

    def loss(self, batch: Clips, rng: random.Random, done: float) -> Tensor:
        latents = clips.encode(self.vae, batch.pixels).repeat(REPEATS, 1, 1, 1, 1)
        steps, count = self.scheduler.config.num_train_timesteps, len(latents)
        t = torch.randint(0, steps, (count,))
        t[::2] = torch.randint(steps // 2, steps, (len(t[::2]),))
        t = t.to(latents.device)
        noise = torch.randn_like(latents)
        with attention(latents.device):
            noisy = self.scheduler.add_noise(latents, noise, t)
            made = self.said(noisy, t, self.embedding(batch.pixels, rng), batch)
        return (made.float() - target(self.scheduler, latents, noise, t)).square().mean()

    @torch.no_grad()
    def embedding(self, pixels: Tensor, rng: random.Random) -> Tensor:
        """CLIP's of one frame of each clip, a few left out, [B · REPEATS, E]."""
        shown = torch.stack([clip[rng.randrange(len(clip))] for clip in pixels])
        made = embed_anchor(self.image, shown).repeat(REPEATS, 1)
        kept = torch.tensor([float(rng.random() > DROP_EMBEDDING) for _ in range(len(made))], device=made.device)
        return made * kept[:, None]

    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / self.name)
        keep(self.scheduler, self.folder / "scheduler")
        return f"written to {self.folder / self.name}"


class ImageDecoderStage(_DecoderStage):
    """D, of pictures alone."""

    name = "image_decoder"

    def network(self) -> Any:
        folder = self.folder / self.name
        return load(UNet2DConditionModel, folder) if folder.is_dir() else embedding_network(CHANNELS)

    def draw(self, rng: random.Random, done: float) -> Clips:
        return clips.draw(ShapesSource(SIZE, PAIRS, latest=72), rng, PICTURES, 1)

    def said(self, noisy: Tensor, t: Tensor, embedding: Tensor, batch: Clips) -> Tensor:
        made: Tensor = self.learner(
            noisy[:, :, 0], t, None, added_cond_kwargs={"image_embeds": embedding}, return_dict=False
        )[0]
        return made.unsqueeze(2)


class VideoDecoderStage(_DecoderStage):
    """Dᵗ, of video that nobody described; all of it learns. Its frames are numbered at the world's own rate."""

    name = "video_decoder"
    needs = (*_DecoderStage.needs, "image_decoder")

    def network(self) -> Any:
        if (self.folder / self.name).is_dir():
            return begin(SpaceTimeUNet, self.folder / self.name)
        return inflate(load(UNet2DConditionModel, self.folder / "image_decoder"))

    def draw(self, rng: random.Random, done: float) -> Clips:
        source = ShapesSource(SIZE, PAIRS, latest=72)
        rates = [rate(rng, min(done, 1.0)) for _ in range(CLIPS)]
        numbers = [[k * FPS / fps for k in range(FRAMES)] for fps in rates]
        drawn = [source.clip(rng, frames).pixels for frames in numbers]
        return Clips(torch.stack(drawn), torch.tensor(numbers), [])

    def said(self, noisy: Tensor, t: Tensor, embedding: Tensor, batch: Clips) -> Tensor:
        fps = (FPS / batch.numbers[:, 1]).repeat(REPEATS).to(noisy.device)
        made: Tensor = self.learner(noisy, t, embedding, fps=fps).sample
        return made
