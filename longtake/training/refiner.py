"""Stage `refiner`: denoising at the larger size, from the start level down.

Owns the refiner's noise levels; begins with the first chunk's network, which knows the same latents.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel

from longtake.training.clips import Reader, ShapesSource, some_dropped
from longtake.training.first_chunk import NETWORK, UP_BLOCKS, without_dropout, without_layout
from longtake.training.loop import Curve, begin
from longtake.training.vocabulary import NUM_TOKENS, make_tokenizer
from models import catalog
from models.refinement.schedule import LogSNRCosineSchedule
from models.streaming_t2v.text import encode
from models.streaming_t2v.unet import StreamingUNet3D

FRAMES = (1, 4, 12, 24)  # lengths learned in turn; a window has 24
MODEL = catalog.find("tiny-shapes")


class RefinerStage:
    """Velocity loss over the noise levels that refinement passes through, and a little above."""

    name = "refiner"
    curve = Curve(rate=6e-4)

    def __init__(self, checkpoint: Path):
        self.folder = checkpoint
        self.tokenizer = make_tokenizer()
        self.text = CLIPTextModel.from_pretrained(checkpoint / "text_encoder").requires_grad_(False)
        sizes = {"up_block_types": UP_BLOCKS, "num_text_tokens": NUM_TOKENS}
        network = begin(StreamingUNet3D, checkpoint / "refiner", **NETWORK, **sizes, cam=False, apm=False)
        if not (checkpoint / "refiner").is_dir():
            first = StreamingUNet3D.from_pretrained(checkpoint / "first_chunk")
            network.load_state_dict(without_layout(first.state_dict()))
        self.learner: Any = without_dropout(network)
        self.schedule = LogSNRCosineSchedule()
        self.levels = round(self.schedule.config.num_train_timesteps * min(1, MODEL.default_refine_strength + 0.1))
        vae = AutoencoderKL.from_pretrained(checkpoint / "vae")
        self.clips = Reader(ShapesSource(MODEL.refined_size.width, pairs=0.2, latest=72), vae)

    def loss(self, rng: random.Random, done: float) -> Tensor:
        frames = FRAMES[min(len(FRAMES) - 1, int(rng.random() * (1.5 + 4 * done)))]
        clips = self.clips.batch(rng, max(1, 24 // frames), frames)
        latents = clips.latents
        noise = torch.randn_like(latents)
        t = torch.randint(0, self.levels, (latents.shape[0],))
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            with torch.no_grad():
                text = encode(self.tokenizer, self.text, some_dropped(clips.captions, rng), NUM_TOKENS)
            noisy = self.schedule.diffuse(latents, noise, t)
            said = self.learner(noisy, t, text.tokens, timestep_cond=text.pooled).sample
        return (said.float() - self.schedule.target(latents, noise, t)).square().mean()

    def finish(self, learner: Any) -> str:
        learner.save_pretrained(self.folder / "refiner")
        self.schedule.save_pretrained(self.folder / "refiner_schedule")
        return f"written to {self.folder}; `longtake evaluate` measures it"
