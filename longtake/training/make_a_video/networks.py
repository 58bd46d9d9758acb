"""The sizes of the tiny Make-A-Video, all of whose networks are one kind.

Owns widths and depths; knows nothing of losses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from longtake.training.folder import load
from models.make_a_video.network import SpaceTimeUNet

LATENTS, EMBEDDING = 4, 64  # channels of the autoencoder's latents, width of the CLIP pair's embeddings


def embedding_network(channels: tuple[int, ...], sample_size: int = 8) -> Any:
    """Draws latents from a CLIP image embedding, which it attends to and has in its time embedding, as unCLIP.

    It attends where it is narrowest, at a quarter of the places: without attention at the top a network costs a third
    less a step, and its neighbours reach far enough, for eight latents are a frame. But what it attends to there says
    little of small shapes: with the embedding in no other way 1,762 steps drew every colour and no shape.
    """
    return UNet2DConditionModel(
        sample_size=sample_size, in_channels=LATENTS, out_channels=LATENTS, block_out_channels=channels,
        layers_per_block=1, norm_num_groups=8, attention_head_dim=8, cross_attention_dim=EMBEDDING,
        down_block_types=("DownBlock2D",) * (len(channels) - 1) + ("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * (len(channels) - 1),
        mid_block_type="UNetMidBlock2DCrossAttn", encoder_hid_dim_type="image_proj", encoder_hid_dim=EMBEDDING,
        addition_embed_type="image",
    )  # fmt: skip


def plain_network(channels: tuple[int, ...], sample_size: int, *, colours: int, hears_level: bool = False) -> Any:
    """Convolutions alone, so that one set of weights serves every size, and half as long a step.

    colours: channels of what is drawn. hears_level: how far the planes beside it are noised.
    """
    return UNet2DConditionModel(
        sample_size=sample_size, in_channels=colours, out_channels=colours, block_out_channels=channels,
        layers_per_block=1, norm_num_groups=8, attention_head_dim=8, mid_block_type=None,
        down_block_types=("DownBlock2D",) * len(channels), up_block_types=("UpBlock2D",) * len(channels),
        class_embed_type="timestep" if hears_level else None,
    )  # fmt: skip


def drawing_differences(folder: Path, image: Any, planes: int, difference: float) -> Any:
    """The network in that folder, to be improved, else a fresh one that looks at its planes from the start.

    Where a network goes on from one of pictures the planes' weights begin as zero, to keep what that knows. This one
    knows nothing; begun so, it had learned in 300 steps what it else learns in 60.
    """
    if folder.is_dir():
        return load(SpaceTimeUNet, folder)
    network = SpaceTimeUNet(dict(image.config), planes, difference)
    with torch.no_grad():
        weight = network.image.conv_in.spatial.weight
        weight[:, :-planes] *= 0.5
        nn.init.normal_(weight[:, -planes:], std=0.2)
    return network
