"""What takes a layer's place gives what torch's and diffusers' own give, to rounding, forwards and backwards."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import pytest
import torch
from diffusers.models.attention import FeedForward
from diffusers.models.resnet import TemporalConvLayer
from torch import Tensor, nn

from models import kernels
from models.loading import load_pipeline
from models.streaming_t2v.unet import StreamingUNet3D

LARGE, SMALL = 4096, 4  # rows, of which oneDNN has the many
SHAPES = [(LARGE, 64), (16, LARGE // 16, 64), (SMALL, 64), (0, 64)]


def both(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The layer as it was, and as it is computed here."""
    holder = nn.ModuleList([deepcopy(layer)])
    kernels.speed_up(holder)
    return layer, holder[0]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often oneDNN was asked."""
    if kernels._onednn is None:
        pytest.skip("This build of torch has no oneDNN.")
    counted, real = Counter[str](), kernels._onednn

    class Counted:
        def __call__(self, *given: object) -> Tensor:
            counted["product"] += 1
            made: Tensor = real(*given)
            return made

        def binary(self, *given: object) -> Tensor:
            counted["gated"] += 1
            made: Tensor = real.binary(*given)
            return made

    monkeypatch.setattr(kernels, "_onednn", Counted())
    return counted


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_linear_layer_is_torchs(shape: tuple[int, ...], bias: bool, calls: Counter[str]) -> None:
    torch.manual_seed(0)
    plain, sooner = both(nn.Linear(64, 96, bias=bias))
    x = torch.randn(*shape, requires_grad=True)
    made = [layer(x) for layer in (plain, sooner)]
    assert torch.allclose(*made, atol=1e-5)
    slopes = [
        torch.autograd.grad((y * y).sum(), [x, *layer.parameters()])
        for y, layer in zip(made, (plain, sooner), strict=True)
    ]
    assert all(torch.allclose(*pair, rtol=1e-4, atol=1e-3) for pair in zip(*slopes, strict=True))
    with torch.no_grad():
        assert torch.equal(sooner(x), made[1])
    assert bool(calls) == (shape[0] > SMALL)


def test_rows_that_do_not_lie_in_a_row_are_multiplied_as_well(calls: Counter[str]) -> None:
    plain, sooner = both(nn.Linear(64, 96))
    x = torch.randn(64, LARGE).t().unflatten(0, (64, -1)).transpose(0, 1)
    assert torch.allclose(plain(x), sooner(x), atol=1e-5) and calls["product"] == 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_gated_layer_is_diffusers(shape: tuple[int, ...], calls: Counter[str]) -> None:
    torch.manual_seed(0)
    plain, sooner = both(FeedForward(64, activation_fn="geglu"))
    x = torch.randn(*shape)
    with torch.no_grad():
        assert torch.allclose(plain(x), sooner(x), atol=1e-5)
    assert calls["gated"] == (shape[0] > SMALL)
    weights = [(layer(x) ** 2).sum() for layer in (plain, sooner)]
    slopes = [
        torch.autograd.grad(y, list(layer.parameters())) for y, layer in zip(weights, (plain, sooner), strict=True)
    ]
    assert all(torch.allclose(*pair, rtol=1e-3, atol=1e-3) for pair in zip(*slopes, strict=True))


def test_numbers_of_other_kinds_are_left_to_torch(calls: Counter[str]) -> None:
    plain, sooner = both(nn.Linear(64, 96))
    x = torch.randn(LARGE, 64)
    for dtype in (torch.bfloat16, torch.float64):
        pair = [layer.to(dtype)(x.to(dtype)) for layer in (plain, sooner)]
        assert torch.equal(*pair)
    with torch.autocast("cpu", torch.bfloat16):
        assert sooner.float()(x).dtype == torch.bfloat16
    assert sooner.to("meta")(x.to("meta")).shape == (LARGE, 96) and not calls


@pytest.mark.parametrize("shape", [(2, 16, 8, 8), (1, 1, 3, 5), (3, 7, 1, 1)], ids=str)  # B, F, H, W
def test_a_convolution_over_frames_is_diffusers(shape: tuple[int, int, int, int]) -> None:
    torch.manual_seed(0)
    layer = TemporalConvLayer(8, 8, norm_num_groups=4).eval()
    nn.init.normal_(layer.conv4[-1].weight)  # it starts at zero
    pair = both(layer)
    batch, frames, height, width = shape
    x = torch.randn(batch * frames, 8, height, width, requires_grad=True)
    made = [network(x, num_frames=frames) for network in pair]
    assert torch.allclose(*made, atol=1e-5)
    slopes = [torch.autograd.grad(y.sum(), x)[0] for y in made]
    assert torch.allclose(*slopes, atol=1e-4)


def test_the_networks_have_them_everywhere_under_the_same_names() -> None:
    with torch.device("meta"):
        network = StreamingUNet3D(block_out_channels=(32, 32), down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
                                  up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"), attention_head_dim=8)  # fmt: skip
    found = Counter(type(module) for module in network.modules())
    assert not found[nn.Linear] and not found[nn.Conv3d]
    assert min(found[kind] for kind in (kernels.Linear, kernels.GatedLinear, kernels.TemporalConv)) > 0
    assert "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight" in network.state_dict()


def test_what_is_loaded_has_them_too() -> None:
    parts = load_pipeline("tiny-shapes", device="cpu")
    networks = [part for part in parts.components.values() if isinstance(part, nn.Module)]
    assert not any(type(module) is nn.Linear for network in networks for module in network.modules())
