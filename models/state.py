"""What a unit leaves for the next one: named tensors as bytes (safetensors), of bounded size.

Owns the format; knows nothing of where the bytes are kept.
"""

from __future__ import annotations

from safetensors.torch import load, save
from torch import Tensor


def dumps(tensors: dict[str, Tensor]) -> bytes:
    """Named tensors -> bytes; equal tensors give equal bytes."""
    return save({name: tensor.contiguous() for name, tensor in sorted(tensors.items())})


def loads(data: bytes) -> dict[str, Tensor]:
    """The tensors of `dumps`, bit for bit, on the CPU."""
    return load(data)
