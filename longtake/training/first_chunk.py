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
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel

from longtake.training.clips import Reader, ShapesSource, some_dropped
from longtake.training.loop import Curve, begin
from longtake.training.vocabulary import NUM_TOKENS, WIDTH, make_tokenizer
from models.streaming_t2v.text import EncodedText, encode
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
LATENT_CHANNELS = 4
LAYOUT_DROP = 0.15  # so that the streaming network, which goes on from anywhere, can do without
#: (frames, clips in a batch, share of the steps): whole clips, and a few frames of many clips at the same cost. Those
#: teach where a caption puts an actor at which frame, which whole clips are too redundant to teach in reasonable time.
LENGTHS = ((16, 8, 0.7), (4, 32, 0.2), (1, 128, 0.1))


class FirstChunkStage:
    """Plain velocity loss: a min-SNR weight would take away what teaches motion."""

    name = "first_chunk"
    curve = Curve(rate=1e-3)

    def __init__(self, checkpoint: Path):
        self.folder = checkpoint
        self.tokenizer = make_tokenizer()
        self.text = CLIPTextModel.from_pretrained(checkpoint / "text_encoder").requires_grad_(False)
        sizes = {"up_block_types": UP_BLOCKS, "num_text_tokens": NUM_TOKENS}
        folder = checkpoint / "first_chunk"
        network = begin(StreamingUNet3D, folder, **NETWORK, **sizes, layout=True, cam=False, apm=False)
        if not folder.is_dir():
            load_model(network.layout_network, checkpoint / "layout.safetensors")
        self.learner: Any = without_dropout(network)
        self.scheduler = DDIMScheduler(**SCHEDULE)
        vae = AutoencoderKL.from_pretrained(checkpoint / "vae")
        self.clips = Reader(ShapesSource(size=64, pairs=0.12), vae)

    def loss(self, rng: random.Random, done: float) -> Tensor:
        (frames, count, _), *_ = rng.choices(LENGTHS, weights=[share for *_, share in LENGTHS])
        clips = self.clips.batch(rng, count, frames, of=16)
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            with torch.no_grad():
                text = encode(self.tokenizer, self.text, some_dropped(clips.captions, rng), NUM_TOKENS)
            kept = torch.tensor([float(rng.random() > LAYOUT_DROP) for _ in range(count)])
            options = {"frame_numbers": clips.numbers, "lay_out": kept}
            return velocity_loss(self.learner, self.scheduler, clips.latents, text, **options)

    def finish(self, learner: Any) -> str:
        learner.save_pretrained(self.folder / "first_chunk")
        self.scheduler.save_pretrained(self.folder / "scheduler")
        return f"written to {self.folder}; `longtake evaluate` measures it"


def without_layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The first chunk's weights for a network that has no layout: its input planes were the last ones."""
    kept = {key: weight for key, weight in state.items() if not key.startswith("layout_network.")}
    planes = kept["conv_in.weight"].shape[1] - LATENT_CHANNELS
    return {**kept, "conv_in.weight": kept["conv_in.weight"][:, :planes].clone()}


def velocity_loss(
    network: Any,
    scheduler: Any,
    latents: Tensor,
    text: EncodedText,
    frame_weights: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """MSE of the velocity; latents [B, C, F, h, w], frame_weights [F]: how much each frame counts (all the same).

    Half of the timesteps are uniform, half in the noisier half.
    """
    noise = torch.randn_like(latents)
    steps, count = scheduler.config.num_train_timesteps, latents.shape[0]
    t = torch.randint(0, steps, (count,))
    t[: count // 2] = torch.randint(steps // 2, steps, (count // 2,))
    made = network(scheduler.add_noise(latents, noise, t), t, text.tokens, timestep_cond=text.pooled, **options).sample
    errors = (made.float() - scheduler.get_velocity(latents, noise, t)).square().mean((0, 1, 3, 4))  # [F]
    weights = torch.ones_like(errors) if frame_weights is None else frame_weights
    return (errors * weights).sum() / weights.sum()


def without_dropout(module: nn.Module) -> nn.Module:
    """diffusers' temporal convolutions drop a tenth of their features in training; small networks lack the room."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module
