"""Pipelines that draw from a picture, and from text, as small as they can be: Wan's two releases, CogVideoX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from models.model import Size
from tests.support.tiny import text

SIZE = Size(64, 32)
OPTIONS: dict[str, bool | int | float | str] = {"chunk_frames": 5}


def build(folder: Path) -> Path:
    """Wan 2.1 from a picture, which CLIP looks at too."""
    torch.manual_seed(11)
    vision = CLIPVisionConfig(
        hidden_size=4, projection_dim=4, num_hidden_layers=2, num_attention_heads=2, image_size=32,
        intermediate_size=16, patch_size=16,
    )  # fmt: skip
    WanImageToVideoPipeline(
        **_shared(),
        transformer=_transformer(36, image_dim=4),
        image_encoder=CLIPVisionModel(vision),
        image_processor=CLIPImageProcessor(crop_size=32, size=32),
    ).save_pretrained(folder)
    return folder


def build_five(folder: Path) -> Path:
    """Wan 2.2's 5B, whose latents begin with the picture's."""
    torch.manual_seed(12)
    WanImageToVideoPipeline(**_shared(), transformer=_transformer(16), expand_timesteps=True).save_pretrained(folder)
    return folder


def build_text(folder: Path) -> Path:
    """Wan from text."""
    torch.manual_seed(13)
    WanPipeline(**_shared(), transformer=_transformer(16)).save_pretrained(folder)
    return folder


def build_cogvideox(folder: Path) -> Path:
    """CogVideoX from a picture, with positions that turn."""
    CogVideoXImageToVideoPipeline(**_cogvideox(8)).save_pretrained(folder)
    return folder


def build_cogvideox_text(folder: Path) -> Path:
    """CogVideoX from text."""
    CogVideoXPipeline(**_cogvideox(4)).save_pretrained(folder)
    return folder


def _cogvideox(channels: int) -> dict[str, Any]:
    torch.manual_seed(14)
    return {
        "tokenizer": text.tokenizer(226),
        "text_encoder": text.t5(),
        "vae": AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(8,) * 4, latent_channels=4, layers_per_block=1, norm_num_groups=2,
        ),
        "transformer": CogVideoXTransformer3DModel(
            num_attention_heads=2, attention_head_dim=16, in_channels=channels, out_channels=4, time_embed_dim=2,
            text_embed_dim=text.WIDTH, num_layers=1, sample_width=8, sample_height=4, sample_frames=9,
            max_text_seq_length=226, use_rotary_positional_embeddings=True,
        ),
        "scheduler": CogVideoXDDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True),
    }  # fmt: skip


def _shared() -> dict[str, Any]:
    return {
        "tokenizer": text.tokenizer(512),
        "text_encoder": text.t5(multilingual=True),
        "vae": AutoencoderKLWan(
            base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
        ),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=1000
        ),
    }


def _transformer(channels: int, image_dim: int | None = None) -> WanTransformer3DModel:
    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=channels, out_channels=16,
        text_dim=text.WIDTH, freq_dim=32, ffn_dim=32, num_layers=1, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=32, image_dim=image_dim,
    )  # fmt: skip
