"""Checkpoints of many gigabytes that take no room: the same files as real ones, with holes where numbers would be."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import UNet3DConditionModel
from torch import Tensor

from tests.support import released
from tests.support.released import Size


def checkpoint(path: Path, size: Size, *, optimizer_bytes: int) -> None:
    """streaming_t2v.ckpt with so many bytes of optimizer state."""
    with torch.device("meta"):
        shapes = released.streaming_state(size)
    moments = [torch.empty(25_000_000) for _ in range(optimizer_bytes // 100_000_000)]
    state = {key: torch.empty(like.shape, dtype=like.dtype) for key, like in shapes.items()}
    with torch.serialization.skip_data():
        torch.save({"state_dict": state, "optimizer_states": [{"state": dict(enumerate(moments))}]}, path)


def base(folder: Path, size: Size) -> None:
    """text-to-video-ms-1.7b with a UNet of that size."""
    released.base(folder)
    with torch.device("meta"):
        unet = UNet3DConditionModel(**size.network)
    unet.save_config(folder / "unet")
    safetensors(folder / "unet" / "diffusion_pytorch_model.safetensors", unet.state_dict())


def safetensors(path: Path, like: Mapping[str, Tensor]) -> None:
    header, at = {}, 0
    for key, tensor in like.items():
        header[key] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + 4 * tensor.numel()]}
        at += 4 * tensor.numel()
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
