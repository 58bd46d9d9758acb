"""A checkpoint of the bundled model's shape with random weights: for tests of everything but the pictures.

Small and untrained, yet the real classes: a video made with it is noise, but noise that depends on seed,
prompt and every unit before it, which is what resuming, killing and repeating are tested with.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from longtake.training.vocabulary import NUM_TOKENS, WIDTH, make_text_encoder, make_tokenizer
from models.refinement.schedule import LogSNRCosineSchedule
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.unet import StreamingUNet3D

NAME = "tiny-shapes"
NETWORK = {
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlock3D",),
    "block_out_channels": (8,),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
    "time_cond_proj_dim": WIDTH,
}
UP = {"up_block_types": ("CrossAttnUpBlock3D",), "num_text_tokens": NUM_TOKENS}


def environment(folder: Path) -> dict[str, str]:
    """Settings with which a process loads random weights from that folder; they are made if need be."""
    if not (folder / NAME).exists():
        make(folder / NAME)
    return {"LONGTAKE_CHECKPOINTS": json.dumps({NAME: str(folder / NAME)})}


def make(folder: Path) -> None:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    pipeline = StreamingPipeline(
        tokenizer=tokenizer,
        text_encoder=make_text_encoder(tokenizer),
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4, 4, 8, 8),
            layers_per_block=1,
            norm_num_groups=4,
            mid_block_add_attention=False,
            scaling_factor=1.0,
        ),
        scheduler=DDIMScheduler(beta_schedule="linear", clip_sample=False, set_alpha_to_one=True),
        first_chunk=StreamingUNet3D(**NETWORK, **UP, cam=False, apm=False),
        unet=StreamingUNet3D(**NETWORK, **UP, num_image_tokens=4),
        cam=ConditionalAttentionModule(**NETWORK, embedding_channels=(4, 4, 8, 8)),
        apm=AppearancePreservationModule(WIDTH, 32, 4, WIDTH),
        image_encoder=CLIPVisionModelWithProjection(vision()),
        refiner=StreamingUNet3D(**NETWORK, **UP, cam=False, apm=False),
        refiner_schedule=LogSNRCosineSchedule(),
    )
    for part in (pipeline.unet, pipeline.cam):
        wake_zeros(part)
    pipeline.save_pretrained(folder, safe_serialization=True)


def vision() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )


def wake_zeros(part: nn.Module) -> None:
    """Layers that begin at zero let nothing of the past through; a test of the past needs some."""
    for parameter in part.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
