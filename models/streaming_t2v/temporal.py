"""Convolution over the frames of a video, as the video UNets have it four times a layer: the same products, sooner.

Knows nothing of the network around it but how diffusers nests these layers.
"""

from __future__ import annotations

import torch.nn.functional as F
from diffusers.models.resnet import TemporalConvLayer
from torch import Tensor, nn


class TemporalConv(nn.Conv3d):
    """A Conv3d with kernel (k, 1, 1), computed as a convolution of pictures whose rows are frames.

    For pictures there are good kernels everywhere: on a CPU, torch's for three dimensions takes two to seven times as
    long. Names and shapes of the weights stay those of Conv3d.
    """

    @classmethod
    def of(cls, conv: nn.Conv3d) -> TemporalConv:
        """With the same weights."""
        length = conv.kernel_size[0]
        made = cls(conv.in_channels, conv.out_channels, (length, 1, 1), padding=(length // 2, 0, 0), device="meta")
        made.weight, made.bias = conv.weight, conv.bias
        return made

    def forward(self, video: Tensor) -> Tensor:
        """[B, C, F, H, W] -> [B, C', F, H, W]."""
        rows = F.conv2d(video.flatten(3), self.weight.squeeze(-1), self.bias, padding=(self.kernel_size[0] // 2, 0))
        return rows.unflatten(3, video.shape[3:])


def speed_up(network: nn.Module) -> None:
    """Every convolution over frames in it becomes a `TemporalConv`."""
    for layer in [module for module in network.modules() if isinstance(module, TemporalConvLayer)]:
        for stack in (layer.conv1, layer.conv2, layer.conv3, layer.conv4):
            stack[-1] = TemporalConv.of(stack[-1])
