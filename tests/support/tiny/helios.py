"""A tiny checkpoint of Helios: `HeliosPipeline`, as diffusers saves it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import HeliosPipeline, HeliosScheduler, HeliosTransformer3DModel

from models.model import Size
from tests.support.tiny import text
from tests.support.tiny.wan import TRANSFORMER, wan_vae

SIZE = Size(48, 32)
OPTIONS = {"history_sizes": "4,2,1", "latents_per_chunk": 3}


def build(folder: Path) -> Path:
    """Write it to `folder`; the same weights every time."""
    torch.manual_seed(0)
    encoder = text.t5(multilingual=True)
    transformer = HeliosTransformer3DModel(
        **TRANSFORMER,
        rope_dim=(8, 4, 4),
    ).eval()
    scheduler = HeliosScheduler(stages=1, use_dynamic_shifting=True)
    parts = {"transformer": transformer, "vae": wan_vae(), "scheduler": scheduler, "text_encoder": encoder}
    HeliosPipeline(tokenizer=text.tokenizer(), **parts).save_pretrained(folder)
    return folder
