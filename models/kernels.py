"""Layers that compute the same numbers sooner, under the same names and with the same weights.

torch gives float32 products on a CPU to MKL, which leaves half of what a processor not made by Intel can do unused;
oneDNN does not. And it has better kernels for convolutions of pictures than for those over frames. Owns what takes a
layer's place; knows nothing of networks but their layers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import TemporalConvLayer
from torch import Tensor, nn

#: Below so many multiplications the call costs more than it saves.
FEWEST = 2**21
_onednn: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


class Linear(nn.Linear):
    """nn.Linear, with its names and its numbers to rounding."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name of it; [..., in] -> [..., out]
        return product(input, self.weight, self.bias)


class GatedLinear(nn.Linear):
    """A linear layer whose second half of features, through GELU, gates the first: [..., in] -> [..., out / 2].

    The gate is applied where the layer's weights are read, so that it can be done in the same pass over memory.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if torch.is_grad_enabled() or not _is_for_onednn(input, self.weight):
            value, gate = product(input, self.weight, self.bias).chunk(2, dim=-1)
            return value * F.gelu(gate)
        values, gates = self.weight.chunk(2)
        of_values, of_gates = (None, None) if self.bias is None else self.bias.chunk(2)
        gate = _onednn(input, gates, of_gates, "gelu", [], "none")
        gated: Tensor = _onednn.binary(input, gate, values, of_values, "mul")
        return gated


class Geglu(GEGLU):  # type: ignore[misc]
    """diffusers' GEGLU, whose linear layer is a `GatedLinear`."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        gated: Tensor = self.proj(hidden_states)
        return gated


class TemporalConv(nn.Conv3d):
    """A Conv3d with kernel (k, 1, 1), computed as a convolution of pictures whose rows are frames.

    For pictures there are good kernels everywhere: on a CPU, torch's for three dimensions takes two to seven times as
    long. Names and shapes of the weights stay those of Conv3d.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """[B, C, F, H, W] -> [B, C', F, H, W]."""
        rows = F.conv2d(input.flatten(3), self.weight.squeeze(-1), self.bias, padding=(self.kernel_size[0] // 2, 0))
        return rows.unflatten(3, input.shape[3:])


def speed_up(network: nn.Module) -> None:
    """The plain linear layers in it, its gated ones and its convolutions over frames become these."""
    for layer in list(network.modules()):
        if type(layer) is GEGLU and type(layer.proj) in (nn.Linear, Linear):
            layer.__class__, layer.proj.__class__ = Geglu, GatedLinear
        elif isinstance(layer, TemporalConvLayer):
            for convolution in [part for part in layer.modules() if type(part) is nn.Conv3d]:
                convolution.__class__ = TemporalConv
        elif type(layer) is nn.Linear:
            layer.__class__ = Linear


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b, as `torch.nn.functional.linear`: [..., in], [out, in], [out] -> [..., out]."""
    if not _is_for_onednn(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and any(given is not None and given.requires_grad for given in (x, weight, bias)):
        learned: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return learned
    made: Tensor = _onednn(x, weight, bias, "none", [], "")
    return made


def _is_for_onednn(x: Tensor, weight: Tensor) -> bool:
    if not x.is_cpu or not weight.is_cpu or _onednn is None:
        return False
    is_float = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return is_float and x.numel() * weight.shape[0] >= FEWEST and not torch.compiler.is_compiling()


class _Product(torch.autograd.Function):
    """The same with slopes, which are products too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        made: Tensor = _onednn(x, weight, bias, "none", [], "")
        return made

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = slope.flatten(0, -2)
        return (
            product(slope, weight.t(), None) if of_x else None,
            product(rows.t(), x.flatten(0, -2).t(), None) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )
