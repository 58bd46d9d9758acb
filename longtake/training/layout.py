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

from longtake.training.clips import encode as encode_clips
from longtake.training.loop import Curve
from longtake.training.vocabulary import NUM_TOKENS, WIDTH, make_tokenizer
from models.shapes import world
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
        self.vae = AutoencoderKL.from_pretrained(checkpoint / "vae").requires_grad_(False)
        self.learner: Any = Layout(WIDTH, self.vae.config.latent_channels)

    def loss(self, rng: random.Random, done: float) -> Tensor:
        return self.error(self.learner, rng, 48)

    def error(self, learner: Any, rng: random.Random, count: int) -> Tensor:
        scenes = [world.scene(world.sample_caption(rng, pairs=0.12), rng) for _ in range(count)]
        frames = [sorted(rng.sample(range(16), 2)) for _ in scenes]
        drawn = [
            torch.cat([world.draw(s, range(f, f + 1), 64) for f in at]) for s, at in zip(scenes, frames, strict=True)
        ]
        latents = encode_clips(self.vae, torch.stack(drawn))
        with torch.no_grad():
            texts = ["" if rng.random() < 0.1 else str(scene.caption) for scene in scenes]
            pooled = encode(self.tokenizer, self.text, texts, NUM_TOKENS).pooled
        expected = learner(pooled, coordinate_planes(torch.tensor(frames), *latents.shape[3:]))
        return (expected - latents).square().mean()

    @torch.no_grad()
    def finish(self, learner: Any) -> str:
        save_model(learner, str(self.folder / "layout.safetensors"))
        return f"error {self.error(learner, random.Random(2**31), 256):.3f} of a variance of about 0.9"
