"""VideoRefinerUNet3D: the network of MS-Vid2Vid-XL, which StreamingT2V refines with.

Owns where it differs from other UNets of video; knows nothing of schedules, windows or guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 - where diffusers looks for how to load a class
from torch import Tensor, nn

from models.streaming_t2v.unet import StreamingUNet3D


class VideoRefinerUNet3D(StreamingUNet3D):
    """UNet3DConditionModel but for its rows: padded by two on the way down, the first cut off on the way up.

    So 90 rows of latents, 720 pixels, become 46, 24 and 13, and come back as they were. Published it takes only
    heights whose levels are even like these (720 pixels and every 32 more or less), and widths in steps of 64; here
    what comes up is cut to the size of its skip, so any size will do.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 90,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: Sequence[str] = ("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
        up_block_types: Sequence[str] = ("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 3,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 1024,
        attention_head_dim: int = 64,
        time_cond_proj_dim: int | None = None,
    ):
        network = {
            "sample_size": sample_size,
            "in_channels": in_channels,
            "out_channels": out_channels,
            "down_block_types": down_block_types,
            "up_block_types": up_block_types,
            "block_out_channels": block_out_channels,
            "layers_per_block": layers_per_block,
            "norm_num_groups": norm_num_groups,
            "cross_attention_dim": cross_attention_dim,
            "attention_head_dim": attention_head_dim,
            "time_cond_proj_dim": time_cond_proj_dim,
        }
        StreamingUNet3D.__init__.__wrapped__(self, **network, cam=False, apm=False)
        for sampler in _samplers(self.down_blocks, "downsamplers"):
            sampler.conv = nn.Conv2d(sampler.channels, sampler.out_channels, 3, stride=2, padding=(2, 1))
        for block in self.up_blocks:
            if block.upsamplers is not None:
                block.upsamplers[0] = Enlarge(block.upsamplers[0].channels)


class Enlarge(nn.Module):
    """Twice as large, without the first row, and cut to the size of the skip that comes next."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:  # [B*F, C, H, W]
        height, width = output_size or (2 * x.shape[-2] - 2, 2 * x.shape[-1])
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        enlarged: Tensor = self.conv(x[..., 1 : 1 + height, :width])
        return enlarged


def _samplers(blocks: nn.ModuleList, kind: str) -> list[Any]:
    return [sampler for block in blocks for sampler in getattr(block, kind) or ()]
