"""The least time that a device could take for a computation: its products at the measured rate, its bytes likewise.

Counted on the meta device, on what torch is asked for operator by operator, so a compiler that fuses operators can go
below the bytes' part. Both rates are of the same run on the same device, not of a data sheet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from models.memory.live import FusedAttention


@dataclass(frozen=True)
class Rates:
    """What a device does a second, measured: floating-point operations of a large product, bytes of a large copy."""

    flops: float
    bytes: float

    @classmethod
    def of(cls, device: torch.device, dtype: torch.dtype) -> Rates:
        side, copied = (8192, 1 << 30) if device.type == "cuda" else (512, 1 << 24)
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in "ab")
        source = torch.empty(copied, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        product, copy = _seconds(lambda: torch.mm(a, b), device), _seconds(lambda: target.copy_(source), device)
        return cls(2 * side**3 / product, 2 * copied / copy)


@dataclass(frozen=True)
class Work:
    """What a computation is: floating-point operations, and bytes that its operators read and write."""

    flops: int
    bytes: int

    @classmethod
    def of(cls, run: Callable[[], object]) -> Work:
        """run: on the meta device."""
        with torch.no_grad(), FlopCounterMode(display=False) as products, _Moved() as moved, _Attention() as attention:
            run()
        return cls(products.get_total_flops() + attention.flops, moved.bytes + attention.bytes)

    def floor_s(self, rates: Rates) -> float:
        return max(self.flops / rates.flops, self.bytes / rates.bytes)


class _Moved(TorchDispatchMode):
    """Adds up what operators read and write; views move nothing."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given, made = _tensors((args, kwargs)), _tensors(out)
        storages = {tensor.untyped_storage()._cdata for tensor in given}
        if any(tensor.untyped_storage()._cdata not in storages for tensor in made) or func._schema.is_mutable:
            self.bytes += sum(tensor.nbytes for tensor in (*given, *made))
        return out


class _Attention(FusedAttention):
    """One kernel that reads queries, keys and values and writes what is mixed."""

    flops = bytes = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            q, k, v = args[:3]
            self.flops += 2 * q[..., 0].numel() * k.shape[-2] * (q.shape[-1] + v.shape[-1])
            self.bytes += k.nbytes + v.nbytes  # the queries are counted where the result is made
        return super().__torch_function__(func, types, args, kwargs)


def _seconds(do: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    """The least of some rounds, after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        do()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
