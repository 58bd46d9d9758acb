"""How many bytes of tensors are alive at once while something runs.

Counts storages as they come and go, on any device. On the meta device nothing is computed and nothing is stored, so
the largest network is counted in a second. Knows nothing of networks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes that tensors made by `run` hold at a time. What exists before it, such as weights, is not counted.

    What it cannot see: what one kernel needs for itself while it runs (workspaces of cuDNN), and gaps between blocks.
    """
    with torch.no_grad(), _Storages() as storages, FusedAttention():
        run()
    return storages.peak


class _Storages(TorchDispatchMode):
    """Adds up the storages that operators return, until they are freed; views and in-place results have no new one."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            storage = tensor.untyped_storage()
            if storage._cdata not in given | self._known:
                self._add(storage)
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
