"""The convolution over frames is diffusers' own to rounding, forwards and backwards, with the same names."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.resnet import TemporalConvLayer
from torch import nn

from models.streaming_t2v import temporal
from models.streaming_t2v.unet import StreamingUNet3D


@pytest.mark.parametrize("shape", [(2, 16, 8, 8), (1, 1, 3, 5), (3, 7, 1, 1)], ids=str)  # B, F, H, W
def test_it_gives_what_the_layer_of_diffusers_gives(shape: tuple[int, int, int, int]) -> None:
    torch.manual_seed(0)
    layer, again = (TemporalConvLayer(8, 8, norm_num_groups=4).eval() for _ in range(2))
    nn.init.normal_(layer.conv4[-1].weight)  # it starts at zero
    temporal.speed_up(again)
    again.load_state_dict(layer.state_dict())
    batch, frames, height, width = shape
    x = torch.randn(batch * frames, 8, height, width, requires_grad=True)
    made = [network(x, num_frames=frames) for network in (layer, again)]
    assert torch.allclose(*made, atol=1e-5)
    slopes = [torch.autograd.grad(y.sum(), x)[0] for y in made]
    assert torch.allclose(*slopes, atol=1e-4)


def test_the_networks_have_it_everywhere() -> None:
    with torch.device("meta"):
        network = StreamingUNet3D(block_out_channels=(32, 32), down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
                                  up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"), attention_head_dim=8)  # fmt: skip
    found = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    assert found and {type(module) for module in found} == {temporal.TemporalConv}
