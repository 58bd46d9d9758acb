"""Make-A-Video in diffusers layout, untrained, at a width that a test can bear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import PriorTransformer, UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from models.make_a_video.network import SpaceTimeUNet, inflate
from models.make_a_video.pipeline import MakeAVideoPipeline
from tests.support import released

EMBEDDING, TOKENS = 24, 6


def folder(place: Path, *, enlarges: bool = True) -> Path:
    words = place.with_name(f"{place.name}-words")
    released.tokenizer(words)
    text = CLIPTextConfig(
        vocab_size=len(released.WORDS) + 2, hidden_size=EMBEDDING, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, projection_dim=EMBEDDING, bos_token_id=len(released.WORDS),
        eos_token_id=len(released.WORDS) + 1, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(4)
    more = {"enlarger": enlarger(), "sharpener": enlarger()} if enlarges else {}
    MakeAVideoPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(words),
        text_encoder=CLIPTextModelWithProjection(text),
        prior=prior(),
        prior_scheduler=DDIMScheduler(prediction_type="sample", clip_sample=False),
        decoder=awake(inflate(image_network())),
        scheduler=DDIMScheduler(prediction_type="v_prediction", clip_sample=False),
        interpolator=awake(inflate(image_network(), planes=4)),
        **more,
    ).save_pretrained(place)
    return place


def prior() -> Any:
    made: Any = PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, num_layers=1, embedding_dim=EMBEDDING, num_embeddings=TOKENS
    )
    torch.nn.init.ones_(made.clip_std)  # training puts the embeddings' own there
    return made.eval()


def image_network(*, cross_attention: bool = True, hears_level: bool = False, channels: int = 3) -> Any:
    """A tiny decoder of unCLIP's layout; without cross-attention one that enlarges, and may hear of augmentation."""
    torch.manual_seed(3)
    kind = "CrossAttn" if cross_attention else ""
    from_image = {"encoder_hid_dim_type": "image_proj", "encoder_hid_dim": EMBEDDING} if cross_attention else {}
    return UNet2DConditionModel(
        sample_size=16, in_channels=channels, out_channels=channels, block_out_channels=(16, 32), layers_per_block=1,
        norm_num_groups=8, attention_head_dim=8, cross_attention_dim=16,
        down_block_types=("DownBlock2D", f"{kind}DownBlock2D"), up_block_types=(f"{kind}UpBlock2D", "UpBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn" if cross_attention else None,
        class_embed_type="timestep" if hears_level else None, **from_image,
    ).eval()  # fmt: skip


def enlarger() -> SpaceTimeUNet:
    return awake(inflate(image_network(cross_attention=False, hears_level=True), planes=3))


def awake(network: SpaceTimeUNet) -> SpaceTimeUNet:
    """With weights over time, as if it had been trained."""
    torch.manual_seed(5)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()
