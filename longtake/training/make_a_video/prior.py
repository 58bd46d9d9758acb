"""Stage `prior`: P learns what a picture's CLIP embedding is, from its caption; so does the text tower that it reads.

Source: Make-A-Video (arXiv 2209.14792) section 3.1; unCLIP (arXiv 2204.06125) section 2.2. The one stage of this system
that reads captions, and it sees single pictures alone: of motion it can learn nothing.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, PriorTransformer
from torch import Tensor, nn
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast,
)

from longtake.training.clip_pair import frames_with_captions
from longtake.training.clips import some_dropped
from longtake.training.folder import frozen, keep, load
from longtake.training.make_a_video.networks import EMBEDDING
from longtake.training.objective import attention
from longtake.training.recipe import StageRecipe, read
from longtake.training.vocabulary import NUM_TOKENS, text_config
from models.make_a_video.prior import imagine
from models.make_a_video.prior import read as read_words
from models.streaming_t2v.anchor import embed_anchor

COUNT, REPEATS = 64, 4  # pictures of a batch; each embedding is noised so often
TOWER = "clip_text_encoder"  # the text side of the CLIP pair
#: Zero terminal SNR: sampling starts from noise alone.
PRIOR_SCHEDULE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "sample",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
}


class PriorStage:
    """MSE of the embedding, and CLIP's own loss for the text tower. The picture side stays as it is."""

    name = "prior"
    needs = ("tokenizer", "text_encoder", "image_encoder")

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or read("tiny-make-a-video").stages[self.name]
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint / "tokenizer")
        self.image = frozen(CLIPVisionModelWithProjection, checkpoint / "image_encoder")
        self.frozen = (self.image,)
        self.scheduler = DDIMScheduler(**PRIOR_SCHEDULE)
        self.learner: Any = nn.ModuleDict({"text": self.tower(), "prior": self.network()})
        self.learner.register_parameter("log_scale", nn.Parameter(torch.tensor(2.0)))

    def tower(self) -> Any:
        """It begins with tiny-shapes' text encoder, from which every word can be read."""
        if (self.folder / TOWER).is_dir():
            return load(CLIPTextModelWithProjection, self.folder / TOWER)
        words = load(CLIPTextModel, self.folder / "text_encoder")
        tower = CLIPTextModelWithProjection(text_config(self.tokenizer))
        missing = tower.load_state_dict(
            {key if key.startswith("text_model.") else f"text_model.{key}": w for key, w in words.state_dict().items()},
            strict=False,
        )
        assert not missing.unexpected_keys and missing.missing_keys == ["text_projection.weight"], missing
        return tower

    def network(self) -> Any:
        if (self.folder / self.name).is_dir():
            return load(PriorTransformer, self.folder / self.name)
        prior: Any = PriorTransformer(
            num_attention_heads=6, attention_head_dim=16, num_layers=3, embedding_dim=EMBEDDING,
            num_embeddings=NUM_TOKENS,
        )  # fmt: skip
        seen = embed_anchor(self.image, frames_with_captions(random.Random(2**31), 256)[0])
        prior.clip_mean.data, prior.clip_std.data = seen.mean(0, keepdim=True), seen.std(0, keepdim=True)
        prior.clip_mean.requires_grad_(False)
        prior.clip_std.requires_grad_(False)
        return prior

    def draw(self, rng: random.Random, done: float) -> tuple[Tensor, list[str]]:
        return frames_with_captions(rng, COUNT)

    def loss(self, batch: tuple[Tensor, list[str]], rng: random.Random, done: float) -> Tensor:
        pixels, captions = batch
        prior = self.learner["prior"]
        with torch.no_grad():
            image = embed_anchor(self.image, pixels)
        read = self.tokenizer(
            some_dropped(captions, rng), padding="max_length", max_length=NUM_TOKENS, return_tensors="pt"
        )
        with attention(image.device):
            text = self.learner["text"](read.input_ids.to(image.device))
            clean = ((image - prior.clip_mean) / prior.clip_std).repeat(REPEATS, 1)
            t = torch.randint(0, self.scheduler.config.num_train_timesteps, (len(clean),)).to(clean.device)
            noisy = self.scheduler.add_noise(clean, torch.randn_like(clean), t)
            mask = read.attention_mask.bool().to(clean.device).repeat(REPEATS, 1)
            words = text.last_hidden_state.repeat(REPEATS, 1, 1)
            made = prior(noisy, t, text.text_embeds.repeat(REPEATS, 1), words, mask, return_dict=False)[0]
        return (made - clean).square().mean() + 0.2 * self.contrast(image, text.text_embeds)

    def contrast(self, image: Tensor, text: Tensor) -> Tensor:
        """Symmetric cross-entropy over a batch, as CLIP."""
        scale = self.learner.log_scale.exp().clamp(max=100)
        similar = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
        right = torch.arange(len(image), device=image.device)
        return (F.cross_entropy(similar, right) + F.cross_entropy(similar.T, right)) / 2

    @torch.no_grad()
    def finish(self, learner: Any) -> str:
        keep(learner["text"], self.folder / TOWER)
        keep(learner["prior"], self.folder / self.name)
        keep(self.scheduler, self.folder / "prior_scheduler")
        pixels, captions = frames_with_captions(random.Random(2**31), 64)
        image = F.normalize(embed_anchor(self.image, pixels), dim=-1)
        null = read_words(self.tokenizer, learner["text"], "", NUM_TOKENS)
        drawn = []
        for number, caption in enumerate(captions):
            words = read_words(self.tokenizer, learner["text"], caption, NUM_TOKENS)
            made = imagine(learner["prior"], self.scheduler, words, null, steps=10, guidance_scale=1.0, seed=number)
            drawn.append(F.normalize(made, dim=-1))
        similar = torch.cat(drawn) @ image.T
        own, others = similar.diagonal().mean(), similar.mean()
        return f"cosine of drawn and seen embeddings: {own:.2f} of the same caption, {others:.2f} of any"
