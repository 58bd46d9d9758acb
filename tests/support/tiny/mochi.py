"""Mochi's pipeline as small as it can be; nothing here goes on from it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler, MochiPipeline, MochiTransformer3DModel

from tests.support.tiny import text


def build_text(folder: Path) -> Path:
    """It draws from text."""
    torch.manual_seed(31)
    MochiPipeline(
        tokenizer=text.tokenizer(256),
        text_encoder=text.t5(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        transformer=MochiTransformer3DModel(
            num_attention_heads=2, attention_head_dim=8, num_layers=2, pooled_projection_dim=16,
            text_embed_dim=text.WIDTH, time_embed_dim=4, max_sequence_length=256,
        ),
        vae=AutoencoderKLMochi(
            encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4, layers_per_block=(1,) * 5,
            add_attention_block=(False,) * 5,
        ),
    ).save_pretrained(folder)  # fmt: skip
    return folder
