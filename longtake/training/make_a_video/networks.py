"""The sizes of the tiny Make-A-Video, all of whose networks are one kind.

Owns widths and depths; knows nothing of losses.
"""

from __future__ import annotations

from typing import Any

from diffusers import UNet2DConditionModel

LATENTS, EMBEDDING = 4, 64  # channels of the autoencoder's latents, width of the CLIP pair's embeddings


def embedding_network(channels: tuple[int, ...], sample_size: int = 8) -> Any:
    """Draws latents from a CLIP image embedding. It attends where it is narrowest, at a quarter of the places.

    Without attention at the top a network costs a third less a step, and its neighbours reach far enough: eight
    latents are a frame.
    """
    return UNet2DConditionModel(
        sample_size=sample_size, in_channels=LATENTS, out_channels=LATENTS, block_out_channels=channels,
        layers_per_block=1, norm_num_groups=8, attention_head_dim=8, cross_attention_dim=EMBEDDING,
        down_block_types=("DownBlock2D",) * (len(channels) - 1) + ("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * (len(channels) - 1),
        mid_block_type="UNetMidBlock2DCrossAttn", encoder_hid_dim_type="image_proj", encoder_hid_dim=EMBEDDING,
    )  # fmt: skip


def pixel_network(channels: tuple[int, ...], sample_size: int) -> Any:
    """Enlarges pixels: convolutions alone, so that one set of weights serves every size; hears the augmentation."""
    return UNet2DConditionModel(
        sample_size=sample_size, in_channels=3, out_channels=3, block_out_channels=channels, layers_per_block=1,
        norm_num_groups=8, attention_head_dim=8, mid_block_type=None,
        down_block_types=("DownBlock2D",) * len(channels), up_block_types=("UpBlock2D",) * len(channels),
        class_embed_type="timestep",
    )  # fmt: skip
