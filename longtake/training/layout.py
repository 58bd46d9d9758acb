"""Stage `layout`: what video a caption lets one expect, by regression from the caption alone.

Owns that regression; the module is part of the first chunk's network, which is trained on top of it.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_model
from torch import Tensor
from transformers import CLIPTextModel

from longtake.training.clips import Reader, ShapesSource, some_dropped
from longtake.training.loop import Curve
from longtake.training.vocabulary import NUM_TOKENS, WIDTH, make_tokenizer
from models.streaming_t2v.encoder import Layout, coordinate_planes
from models.streaming_t2v.text import encode


class LayoutStage:
    """MSE of expected against drawn latents, on two frames of many scenes."""

    name = "layout"
    curve = Curve(rate=3e-3)

    def __init__(self, checkpoint: Path):
        self.folder = checkpoint
        self.tokenizer = make_tokenizer()
        self.text = CLIPTextModel.from_pretrained(checkpoint / "text_encoder").requires_grad_(False)
        vae = AutoencoderKL.from_pretrained(checkpoint / "vae")
        self.clips = Reader(ShapesSource(size=64, pairs=0.12), vae)
        self.learner: Any = Layout(WIDTH, vae.config.latent_channels)

    def loss(self, rng: random.Random, done: float) -> Tensor:
        return self.error(self.learner, rng, 48)

    def error(self, learner: Any, rng: random.Random, count: int) -> Tensor:
        clips = self.clips.batch(rng, count, frames=2, of=16)
        with torch.no_grad():
            pooled = encode(self.tokenizer, self.text, some_dropped(clips.captions, rng), NUM_TOKENS).pooled
        expected = learner(pooled, coordinate_planes(clips.numbers, *clips.latents.shape[3:]))
        return (expected - clips.latents).square().mean()

    @torch.no_grad()
    def finish(self, learner: Any) -> str:
        save_model(learner, str(self.folder / "layout.safetensors"))
        return f"error {self.error(learner, random.Random(2**31), 256):.3f} of a variance of about 0.9"
