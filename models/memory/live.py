"""How many bytes of tensors are alive at once while something runs.

Counts storages as they come and go, on any device. On the meta device nothing is computed and nothing is stored, so
the largest network is counted in a second. Knows nothing of networks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes that tensors made by `run` hold at a time. What exists before it, such as weights, is not counted.

    What it cannot see: what one kernel needs for itself while it runs (workspaces of cuDNN), and gaps between blocks.
    """
    with torch.no_grad(), _Storages() as storages, FusedAttention():
        run()
    return storages.peak


class _Storages(TorchDispatchMode):
    """Adds up the storages that operators return, until they are freed; views and in-place results have no new one.

    What an operator of the meta device makes is remembered: torch works its shape out in Python, and a network asks for
    the same again in each of its blocks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()
        self._made: dict[Any, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _is_alias(func):
            return func(*args, **(kwargs or {}))
        asked = (func, *_told((args, kwargs or {})))
        if asked in self._made:
            out = tree_map_only(_Like, _Like.tensor, self._made[asked])
            for tensor in _tensors(out):
                self._add(tensor.untyped_storage())
            return out
        given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        new = [tensor for tensor in _tensors(out) if tensor.untyped_storage()._cdata not in given | self._known]
        for tensor in new:
            self._add(tensor.untyped_storage())
        if given and new and len(new) == len(_tensors(out)) and all(tensor.is_meta for tensor in new):
            self._made[asked] = tree_map_only(Tensor, _Like.of, out)
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        size, name = storage.nbytes(), storage._cdata
        self._known.add(name)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._free, name, size).atexit = False

    def _free(self, name: int, size: int) -> None:
        self._known.discard(name)
        self._now -= size


@dataclass(frozen=True, slots=True)
class _Like:
    """Enough of a tensor on the meta device to make another that is like it."""

    size: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> _Like:
        return cls(tensor.shape, tensor.stride(), tensor.dtype)

    def tensor(self) -> Tensor:
        return torch.empty_strided(self.size, self.stride, dtype=self.dtype, device="meta")


class FusedAttention(TorchFunctionMode):
    """Attention as the fused kernels of a GPU do it (flash, memory-efficient): no matrix of all pairs is stored.

    The meta device has no such kernel, and would count that matrix.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
        query: Tensor = given["query"]
        return query.new_empty(*query.shape[:-1], given["value"].shape[-1])


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@cache
def _is_alias(func: Any) -> bool:
    """Whether an operator returns a view of what it is given, or has written into it: there is no new storage."""
    return any(result.alias_info is not None for result in func._schema.returns)


def _told(value: Any) -> Any:
    """What an operator is told, tensors by their shapes: equal where it makes the same shape of it."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, list | tuple):
        return tuple(map(_told, value))
    if isinstance(value, dict):
        return tuple((name, _told(each)) for name, each in value.items())
    return type(value), value
