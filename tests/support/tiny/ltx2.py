"""LTX-2's pipeline as small as it can be: pictures and sound of 24,000 samples a second, in stereo."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    FlowMatchEulerDiscreteScheduler,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
)
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from models.model import Size
from tests.support.tiny import text

SIZE = Size(64, 32)
OPTIONS: dict[str, bool | int | float | str] = {"chunk_frames": 25, "overlap_frames": 9, "stg_block": 0}
MEL_BINS, SOUND_CHANNELS = 8, 4  # of a latent of sound: 4 channels of 8 / 4 bins


def build(folder: Path) -> Path:
    """As the release saves it: the pipeline from text, whose networks draw from clips too."""
    torch.manual_seed(22)
    video_vae = AutoencoderKLLTX2Video(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        decoder_spatial_padding_mode="zeros",  # mirrors need more than one latent in a column
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )
    audio_vae = AutoencoderKLLTX2Audio(
        base_channels=SOUND_CHANNELS * MEL_BINS // 4,  # also how many numbers a latent of sound has
        latent_channels=SOUND_CHANNELS,
        num_res_blocks=1,
        mel_bins=MEL_BINS,
    )
    vocoder = LTX2Vocoder(in_channels=2 * MEL_BINS, hidden_channels=32, resnet_kernel_sizes=[3], resnet_dilations=[[1]])
    connectors = LTX2TextConnectors(
        caption_channels=text.WIDTH,
        text_proj_in_factor=text.GEMMA_LAYERS + 1,
        video_connector_num_attention_heads=4,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        audio_connector_num_attention_heads=4,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
    )
    transformer = LTX2VideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32,
        audio_in_channels=8, audio_out_channels=8, audio_num_attention_heads=4, audio_attention_head_dim=4,
        audio_cross_attention_dim=16, num_layers=1, caption_channels=text.WIDTH, cross_attn_mod=True,
        audio_cross_attn_mod=True, perturbed_attn=True,
    )  # fmt: skip
    with torch.no_grad():
        vocoder.conv_out.weight.mul_(8)  # else random weights are hardly heard
    LTX2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=video_vae,
        audio_vae=audio_vae,
        text_encoder=text.gemma3(),
        tokenizer=text.tokenizer(1024, padding_side="left"),
        connectors=connectors,
        transformer=transformer,
        vocoder=vocoder,
    ).save_pretrained(folder)
    return folder
