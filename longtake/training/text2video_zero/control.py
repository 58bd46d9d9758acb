"""Stage `control`: a ControlNet (arXiv 2302.05543) that draws along edges, on the frozen network of pictures.

Owns its size and how often the caption is left out, so that edges are heeded.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from longtake.training.clips import SIZED, some_dropped
from longtake.training.folder import frozen, keep, load
from longtake.training.recipe import StageRecipe
from longtake.training.text2video_zero.pictures import encode, loss, prepared, readers, tiny
from longtake.training.text2video_zero.text_to_image import FRAMES, PAIRS, SIDE, Pictures
from models.shapes import world
from models.streaming_t2v import text
from models.text2video_zero.edges import edges

PICTURES, LEVELS = 12, 2  # of a batch, and at how many noise levels each is seen
DROP = 0.3  # share of captions left out; published half
EMBEDDING = (8, 16, 32, 48)  # channels on the way from the control picture to the latents' grid


class ControlStage:
    """Plain velocity loss of the frozen network with the ControlNet's residuals, which begin at zero."""

    name = "control"
    needs = ("unet", "scheduler")

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or tiny(self.name)
        self.tokenizer, self.text, self.vae = readers(checkpoint)
        self.unet = prepared(frozen(UNet2DConditionModel, checkpoint / "unet"))
        self.frozen = (self.text, self.vae, self.unet)
        self.scheduler = DDIMScheduler.from_pretrained(checkpoint / "scheduler")
        self.learner: Any = prepared(self._begin(checkpoint / "controlnet"))

    def _begin(self, folder: Path) -> Any:
        if folder.is_dir():
            return load(ControlNetModel, folder)
        made = ControlNetModel.from_unet(self.unet, conditioning_embedding_out_channels=EMBEDDING)
        return made.train().requires_grad_(True)

    def draw(self, rng: random.Random, done: float) -> Pictures:
        scenes = [world.scene(world.sample_caption(rng, pairs=PAIRS, sized=SIZED), rng) for _ in range(PICTURES)]
        pixels = torch.cat([world.draw(scene, [rng.randrange(FRAMES)], SIDE) for scene in scenes])
        return Pictures(pixels, [str(scene.caption) for scene in scenes])

    def loss(self, batch: Pictures, rng: random.Random, done: float) -> Tensor:
        latents = encode(self.vae, batch.pixels).repeat(LEVELS, 1, 1, 1)
        said = some_dropped(batch.captions * LEVELS, rng, DROP)
        with torch.no_grad():
            tokens = text.encode(self.tokenizer, self.text, said, self.text.config.max_position_embeddings).tokens
        control = edges_of(batch.pixels).to(latents.device).repeat(LEVELS, 1, 1, 1)

        def network(noisy: Tensor, t: Tensor) -> Any:
            down, middle = self.learner(
                noisy, t, encoder_hidden_states=tokens, controlnet_cond=control, return_dict=False
            )
            return self.unet(
                noisy,
                t,
                encoder_hidden_states=tokens,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            )

        return loss(network, self.scheduler, latents)

    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / "controlnet")
        return f"written to {self.folder}"


def edges_of(pixels: Tensor) -> Tensor:
    """The edges of pictures [B, 3, H, W] in [-1, 1], the same shape in [0, 1]."""
    frames = ((pixels.movedim(1, -1) + 1) * 127.5).round().byte().numpy()
    return torch.from_numpy(edges(frames)).movedim(-1, 1).float() / 255
