"""Stage `first_chunk`: the text-to-video network of 16 frames, on top of the frozen text encoder.

Owns the tiny network's size and its noise schedule; the loop is `training.loop`.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from safetensors.torch import load_model
from torch import Tensor, nn
from transformers import CLIPTextModel

from longtake.training import clips
from longtake.training.clips import Clips, ShapesSource, some_dropped
from longtake.training.folder import begin, frozen, keep
from longtake.training.objective import attention, denoising_loss, without_dropout
from longtake.training.recipe import StageRecipe, tiny_shapes
from longtake.training.vocabulary import NUM_TOKENS, WIDTH, make_tokenizer
from models.streaming_t2v.text import encode
from models.streaming_t2v.unet import StreamingUNet3D

NETWORK: dict[str, Any] = {
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlock3D",) * 3,
    "block_out_channels": (32, 64, 96),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
    "time_cond_proj_dim": WIDTH,
    "coordinates": True,
}
UP_BLOCKS = ("CrossAttnUpBlock3D",) * 3
#: Linear betas spend a third of the steps below SNR 0.0115, where the direction of a motion is decided
#: (the published schedule: a sixth); velocity prediction and a zero terminal SNR make the last step pure noise.
SCHEDULE: dict[str, Any] = {
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 0,
}
LAYOUT_DROP = 0.15  # so that the streaming network, which goes on from anywhere, can do without
#: (frames, clips in a batch, share of the steps): whole clips, and a few frames of many clips at the same cost. Those
#: teach where a caption puts an actor at which frame, which whole clips are too redundant to teach in reasonable time.
LENGTHS = ((16, 8, 0.7), (4, 32, 0.2), (1, 128, 0.1))


class FirstChunkStage:
    """Plain velocity loss: a min-SNR weight would take away what teaches motion."""

    name = "first_chunk"

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or tiny_shapes(self.name)
        self.tokenizer = make_tokenizer()
        self.text = frozen(CLIPTextModel, checkpoint / "text_encoder")
        self.vae = frozen(AutoencoderKL, checkpoint / "vae")
        self.frozen: tuple[nn.Module, ...] = (self.text, self.vae)
        sizes = {"up_block_types": UP_BLOCKS, "num_text_tokens": NUM_TOKENS}
        folder = checkpoint / "first_chunk"
        network = begin(StreamingUNet3D, folder, **NETWORK, **sizes, layout=True, cam=False, apm=False)
        if not folder.is_dir():
            load_model(network.layout_network, checkpoint / "layout.safetensors")
        self.learner: Any = without_dropout(network)
        self.scheduler = DDIMScheduler(**SCHEDULE)
        self.source = ShapesSource(size=64, pairs=0.12)

    def draw(self, rng: random.Random, done: float) -> Clips:
        (frames, count, _), *_ = rng.choices(LENGTHS, weights=[share for *_, share in LENGTHS])
        return clips.draw(self.source, rng, count, frames, of=16)

    def loss(self, batch: Clips, rng: random.Random, done: float) -> Tensor:
        latents = clips.encode(self.vae, batch.pixels)
        with attention(latents.device):
            with torch.no_grad():
                text = encode(self.tokenizer, self.text, some_dropped(batch.captions, rng), NUM_TOKENS)
            kept = torch.tensor([float(rng.random() > LAYOUT_DROP) for _ in batch.captions]).to(latents.device)
            options = {"frame_numbers": batch.numbers.to(latents.device), "lay_out": kept}
            return denoising_loss(self.learner, self.scheduler, latents, text, noisier_half=0.5, **options)

    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / "first_chunk")
        keep(self.scheduler, self.folder / "scheduler")
        return f"written to {self.folder}; `longtake evaluate` measures it"
