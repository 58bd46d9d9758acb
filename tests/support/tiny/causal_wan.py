"""A tiny checkpoint in Wan's layout, as causal networks are saved: `WanPipeline`."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

from models.model import Size
from tests.support.tiny import text
from tests.support.tiny.wan import TRANSFORMER, wan_vae

SIZE = Size(48, 32)
OPTIONS = {"latents_per_chunk": 2, "window_latents": 4, "sink_latents": 2}
FAMILY = "causal-wan"


def build(folder: Path) -> Path:
    """Write it to `folder`; the same weights every time."""
    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        **TRANSFORMER,
        rope_max_seq_len=32,
    ).eval()
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
    parts = {"transformer": transformer, "vae": wan_vae(), "scheduler": scheduler}
    parts["text_encoder"] = text.t5(multilingual=True)
    WanPipeline(tokenizer=text.tokenizer(), **parts).save_pretrained(folder)
    return folder
