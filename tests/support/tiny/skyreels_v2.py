"""A tiny checkpoint of SkyReels-V2: `SkyReelsV2DiffusionForcingPipeline`, as diffusers saves it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    SkyReelsV2DiffusionForcingPipeline,
    SkyReelsV2Transformer3DModel,
    UniPCMultistepScheduler,
)

from models.model import Size
from tests.support.tiny import text
from tests.support.tiny.wan import TRANSFORMER, wan_vae

SIZE = Size(48, 32)
OPTIONS = {"base_frames": 13, "overlap_history": 5}


def build(folder: Path) -> Path:
    """Write it to `folder`; the same weights every time."""
    torch.manual_seed(0)
    encoder = text.t5(multilingual=True)
    transformer = SkyReelsV2Transformer3DModel(
        **TRANSFORMER,
        rope_max_seq_len=32,
        inject_sample_info=True,
    ).eval()
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0)
    parts = {"transformer": transformer, "vae": wan_vae(), "scheduler": scheduler, "text_encoder": encoder}
    SkyReelsV2DiffusionForcingPipeline(tokenizer=text.tokenizer(), **parts).save_pretrained(folder)
    return folder
