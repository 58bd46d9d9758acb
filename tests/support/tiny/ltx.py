"""LTX-Video's pipelines as small as they can be, with a VAE that is told how much noise is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXConditionPipeline,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)

from models.model import Size
from tests.support.tiny import text

SIZE = Size(64, 32)
OPTIONS: dict[str, bool | int | float | str] = {"chunk_frames": 25, "overlap_frames": 9}


def build(folder: Path) -> Path:
    """The pipeline that goes on from pictures and clips."""
    LTXConditionPipeline(**_parts()).save_pretrained(folder)
    return folder


def build_image_to_video(folder: Path) -> Path:
    """The one that goes on from a picture."""
    LTXImageToVideoPipeline(**_parts()).save_pretrained(folder)
    return folder


def build_text(folder: Path) -> Path:
    """The one that draws from text alone."""
    LTXPipeline(**_parts()).save_pretrained(folder)
    return folder


def _parts() -> dict[str, Any]:
    torch.manual_seed(21)
    return {
        "tokenizer": text.tokenizer(256),
        "text_encoder": text.t5(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "transformer": LTXVideoTransformer3DModel(
            in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32,
            num_layers=1, caption_channels=text.WIDTH,
        ),
        "vae": AutoencoderKLLTXVideo(
            latent_channels=8,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1, 1),
            spatio_temporal_scaling=(True, True, True, False),
            decoder_spatio_temporal_scaling=(True, True, True, False),
            timestep_conditioning=True,
        ),
    }  # fmt: skip
