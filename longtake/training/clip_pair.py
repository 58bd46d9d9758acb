"""Stage `clip`: a small CLIP pair, whose image side makes the anchor's embedding and whose text side scores results.

Owns its contrastive loss on single frames and their captions, and which frames are told from which.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

from longtake.training.clips import SIZED
from longtake.training.folder import keep, load
from longtake.training.recipe import StageRecipe, tiny_shapes
from longtake.training.vocabulary import WIDTH, make_tokenizer, text_config
from models.shapes import world
from models.shapes.language import SHAPES, Caption
from models.streaming_t2v.anchor import clip_pixels

FRAMES = 64  # of a batch, and of a scene, of which one is seen


class ClipStage:
    """Symmetric cross-entropy over a batch, as CLIP (arXiv 2103.00020); motion words stay, and cannot be seen."""

    name = "clip"
    frozen = ()

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or tiny_shapes(self.name)
        self.tokenizer = make_tokenizer()
        vision = CLIPVisionConfig(
            hidden_size=96, intermediate_size=384, projection_dim=WIDTH, num_hidden_layers=3, num_attention_heads=6,
            image_size=64, patch_size=8,
        )  # fmt: skip
        self.learner: Any = nn.ModuleDict(
            {
                "image": self._begin("image_encoder", CLIPVisionModelWithProjection, vision),
                "text": self._begin("clip_text_encoder", CLIPTextModelWithProjection, text_config(self.tokenizer)),
            }
        )
        self.learner.register_parameter("log_scale", nn.Parameter(torch.tensor(2.0)))

    def _begin(self, name: str, kind: Any, config: Any) -> Any:
        return load(kind, self.folder / name).train() if (self.folder / name).is_dir() else kind(config)

    def draw(self, rng: random.Random, done: float) -> tuple[Tensor, list[str]]:
        """Half of them in fours that differ in a shape alone. Among frames at random colours tell nearly all apart,
        and an encoder that saw nothing else tells no shapes."""
        one, other = frames_with_captions(rng, FRAMES // 2), look_alikes(rng, FRAMES // 2)
        return torch.cat([one[0], other[0]]), one[1] + other[1]

    def loss(self, batch: tuple[Tensor, list[str]], rng: random.Random, done: float) -> Tensor:
        pixels, captions = batch
        image, text = self.embed(self.learner, pixels, captions)
        similar = self.learner.log_scale.exp().clamp(max=100) * image @ text.T
        right = torch.arange(len(captions), device=similar.device)
        return (F.cross_entropy(similar, right) + F.cross_entropy(similar.T, right)) / 2

    def embed(self, learner: Any, pixels: Tensor, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Unit vectors of frames and of captions, [N, E] each."""
        device = learner["image"].device
        ids = self.tokenizer(captions, padding="max_length", return_tensors="pt").input_ids.to(device)
        image = learner["image"](clip_pixels(pixels.to(device), 64)).image_embeds
        return F.normalize(image, dim=-1), F.normalize(learner["text"](ids).text_embeds, dim=-1)

    @torch.no_grad()
    def finish(self, learner: Any) -> str:
        pixels, captions = frames_with_captions(random.Random(2**31), 256)
        image, text = self.embed(learner, pixels, captions)
        looks = [caption.split(" moving")[0].split(" staying")[0] + caption.split(" on a")[-1] for caption in captions]
        best = (image @ text.T).argmax(1)
        right = sum(looks[i] == looks[int(j)] for i, j in enumerate(best)) / len(captions)
        keep(learner["image"], self.folder / "image_encoder")
        keep(learner["text"], self.folder / "clip_text_encoder")
        return f"the caption of the same look is found in {right:.0%} of 256"


def look_alikes(rng: random.Random, count: int) -> tuple[Tensor, list[str]]:
    """The same as `frames_with_captions`, in groups that have the first actor's shape alone to tell them apart."""
    pixels, captions = [], []
    for _ in range(count // len(SHAPES)):
        caption = world.sample_caption(rng, pairs=0.12, sized=SIZED)
        place, frame = rng.random(), rng.randrange(FRAMES)
        first, *others = caption.actors
        for shape in SHAPES:
            alike = Caption((replace(first, shape=shape), *others), caption.background)
            pixels.append(world.draw(world.scene(alike, random.Random(place)), [frame], 64))
            captions.append(str(alike))
    return torch.cat(pixels), captions


def frames_with_captions(rng: random.Random, count: int) -> tuple[Tensor, list[str]]:
    """Single frames [count, 3, 64, 64] and their captions."""
    pixels, captions = [], []
    for _ in range(count):
        scene = world.scene(world.sample_caption(rng, pairs=0.12), rng)
        pixels.append(world.draw(scene, [rng.randrange(FRAMES)], 64))
        captions.append(str(scene.caption))
    return torch.cat(pixels), captions
