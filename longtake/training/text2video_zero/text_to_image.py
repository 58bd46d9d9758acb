"""Stage `text_to_image`: a Stable Diffusion of the shapes world, which Text2Video-Zero draws its video with.

Owns the network's size, its noise levels, which pictures it sees and what it begins with: what tiny-shapes' refiner
does within a frame, without all that goes from frame to frame. Text encoder and autoencoder are tiny-shapes', frozen.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from longtake.training.clips import SIZED, some_dropped
from longtake.training.folder import begin, keep, load
from longtake.training.recipe import StageRecipe
from longtake.training.text2video_zero.pictures import encode, loss, prepared, readers, tiny
from longtake.training.vocabulary import WIDTH
from models.shapes import world
from models.streaming_t2v import text
from models.streaming_t2v.unet import StreamingUNet3D

SIDE = 128  # pixels; 16 latents
PICTURES, LEVELS = 16, 2  # of a batch; each picture is seen at so many noise levels, which saves encoding
PAIRS = 0.1  # share of pictures with two actors
FRAMES = 64  # of a scene, of which one is seen
NETWORK: dict[str, Any] = {
    "sample_size": SIDE // 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    "block_out_channels": (32, 64, 96),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": (4, 8, 12),  # heads, by the name that Stable Diffusion 1.x has for them
}
#: Stable Diffusion's betas, but down to no signal at all: a flat background is seen through any noise that leaves some.
SCHEDULE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


class Pictures(NamedTuple):
    """Pictures [B, 3, H, W] in [-1, 1], and what is said of them."""

    pixels: Tensor
    captions: list[str]


def picture(rng: random.Random) -> tuple[Tensor, str]:
    """A frame of a scene, [1, 3, H, W], with its caption; of three frames the one whose subject is nearest the middle.

    Photographs have their subjects there, and Text2Video-Zero needs it: what the camera moves away from is a mirror
    image of the frame, in which a subject at the border is soon seen twice.
    """
    scene = world.scene(world.sample_caption(rng, pairs=PAIRS, sized=SIZED), rng)
    frame = min(rng.sample(range(FRAMES), 3), key=lambda f: math.dist(scene.bodies[0].centre(f), (0.5, 0.5)))
    return world.draw(scene, [frame], SIDE), str(scene.caption)


def begun(checkpoint: Path) -> Any:
    """The network that is there already, else one with the weights of the video network there, else a fresh one."""
    if (checkpoint / "unet").is_dir() or not (checkpoint / "refiner").is_dir():
        return begin(UNet2DConditionModel, checkpoint / "unet", **NETWORK)
    network = UNet2DConditionModel(**NETWORK)
    network.load_state_dict(within_a_frame(load(StreamingUNet3D, checkpoint / "refiner"), network.state_dict()))
    return network


def within_a_frame(video: Any, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """A video network's weights that a network of pictures has too, by the names and shapes of `like`.

    Of the input planes those of the latents come first; a projection is a 1x1 convolution here. 80 steps from these
    weights came to about the loss of 900 from nothing.
    """
    there = video.state_dict()
    planes = like["conv_in.weight"].shape[1]
    there["conv_in.weight"] = there["conv_in.weight"][:, :planes]
    return {name: there[name].reshape(weight.shape) for name, weight in like.items()}


class TextToImageStage:
    """Plain velocity loss; a tenth of the captions is left out."""

    name = "text_to_image"

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or tiny(self.name)
        self.tokenizer, self.text, self.vae = readers(checkpoint)
        self.frozen = (self.text, self.vae)
        self.learner: Any = prepared(begun(checkpoint))
        self.scheduler = DDIMScheduler(**SCHEDULE)

    def draw(self, rng: random.Random, done: float) -> Pictures:
        drawn, captions = zip(*(picture(rng) for _ in range(PICTURES)), strict=True)
        return Pictures(torch.cat(drawn), list(captions))

    def loss(self, batch: Pictures, rng: random.Random, done: float) -> Tensor:
        latents = encode(self.vae, batch.pixels).repeat(LEVELS, 1, 1, 1)
        said = some_dropped(batch.captions * LEVELS, rng)
        with torch.no_grad():
            length = self.text.config.max_position_embeddings
            tokens = text.encode(self.tokenizer, self.text, said, length).tokens
        return loss(self.learner, self.scheduler, latents, encoder_hidden_states=tokens)

    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / "unet")
        keep(self.scheduler, self.folder / "scheduler")
        return f"written to {self.folder}"
