"""The Wan family with few channels: its VAE, time shortened by 4 and sides by 8 as the released one's, and the size of
its transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLWan

from tests.support.tiny import text

CHANNELS = 4
#: How large a transformer of that family is.
TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "text_dim": text.WIDTH,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
}


def wan_vae(**changes: Any) -> AutoencoderKLWan:
    """With random weights, the same every time. Its latents have a mean and a deviation of their own."""
    torch.manual_seed(0)
    config = {
        "base_dim": 4,
        "z_dim": CHANNELS,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 0,
        "latents_mean": [0.1, -0.2, 0.3, -0.1],
        "latents_std": [1.5, 0.8, 1.2, 2.0],
    }
    vae = AutoencoderKLWan(**{**config, **changes}).eval()
    vae.quant_conv.weight.data[:CHANNELS] *= 10  # random weights tell pictures hardly apart
    return vae
