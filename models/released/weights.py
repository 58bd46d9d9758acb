"""Released files of weights, read one tensor at a time: PyTorch's zip and safetensors.

Owns the formats; knows nothing of what the tensors are for. A file is neither held in memory nor mapped: 25 GB of
checkpoint cannot be mapped on a machine with less memory than that, and what is mapped counts as used.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.streaming_t2v.convert import ConversionError

_SAFETENSORS_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor's first element is, and how to read on from there; `held` where a format does not tell."""

    path: Path
    start: int
    like: Tensor  # on the meta device: type, shape and strides
    held: Tensor | None = None


class Weights:
    """The tensors of some files by name. `like` has them on the meta device: shapes and types, no data."""

    def __init__(self, places: Mapping[str, _Place]):
        self._places = dict(places)
        self.like: dict[str, Tensor] = {key: place.like for key, place in places.items()}

    def read(self, key: str) -> Tensor:
        """One tensor, in memory of its own."""
        place = self._places[key]
        if place.held is not None:
            return place.held
        like, size = place.like, place.like.element_size()
        span = sum((n - 1) * step for n, step in zip(like.shape, like.stride(), strict=True)) + 1 if like.numel() else 0
        buffer = bytearray(span * size)
        with place.path.open("rb") as file:
            file.seek(place.start)
            if file.readinto(buffer) != len(buffer):
                raise ConversionError(f"{place.path.name} ends within {key}: it is cut short. Fetch it again.")
        if not span:
            return torch.empty(like.shape, dtype=like.dtype)
        return torch.frombuffer(buffer, dtype=like.dtype).as_strided(like.shape, like.stride())

    def below(self, prefix: str) -> Weights:
        """Those whose names begin with `prefix`, without it."""
        own = {key: place for key, place in self._places.items() if key.startswith(prefix)}
        return Weights({key.removeprefix(prefix): place for key, place in own.items()})


def open_weights(*paths: Path) -> Weights:
    """The tensors of one file, or of the shards of one model. Raises `ConversionError`."""
    places: dict[str, _Place] = {}
    for path in paths:
        places |= _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    return Weights(places)


def find_weights(folder: Path, stems: Iterable[str] = ("diffusion_pytorch_model", "model", "pytorch_model")) -> Weights:
    """The weights in a component's folder as diffusers and transformers write it; full precision before half."""
    for stem in stems:
        for kind in ("safetensors", "bin"):
            for name in (f"{stem}.{kind}", f"{stem}.fp16.{kind}"):
                if (folder / name).is_file():
                    return open_weights(folder / name)
            index = folder / f"{stem}.{kind}.index.json"
            if index.is_file():
                shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
                return open_weights(*(folder / shard for shard in shards))
    raise ConversionError(f"{folder} holds no weights: no .safetensors and no .bin by a name that diffusers uses.")


def _torch(path: Path) -> dict[str, _Place]:
    """torch.save's zip: what it holds is unpickled on the meta device, which leaves the offset of each storage."""
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        if zipped and not zipfile.is_zipfile(path):
            raise ValueError("the list of contents at its end is missing")
        loaded = torch.load(path, map_location="meta" if zipped else "cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever the bytes of another format lead it to
        raise ConversionError(_refusal(path, error, zipped)) from error
    tensors = _state_dict(loaded, path)
    if not zipped:
        return {key: _Place(path, 0, tensor.to("meta"), held=tensor) for key, tensor in tensors.items()}
    return {key: _Place(path, _offset(tensor), tensor) for key, tensor in tensors.items()}


def _refusal(path: Path, error: Exception, zipped: bool) -> str:
    if not zipped:
        return f"{path.name} is no file of weights: neither PyTorch's nor safetensors."
    if isinstance(error, pickle.UnpicklingError):
        return f"{path.name} holds more than tensors, so it is not read: {_first(error)}."
    return f"{path.name} is cut short or damaged: {_first(error)}. Fetch it again, and compare its SHA-256."


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The file's own dict of tensors, or the one below `state_dict` or (DeepSpeed) `module`, if a trainer wrote it."""
    if isinstance(loaded, Mapping):
        loaded = loaded.get("state_dict", loaded.get("module", loaded))
    tensors = {key: value for key, value in loaded.items() if isinstance(value, Tensor)} if loaded else {}
    if not tensors:
        raise ConversionError(f"{path.name} holds no tensors by name, so it is no checkpoint.")
    return tensors


def _offset(tensor: Tensor) -> int:
    storage: Any = tensor.untyped_storage()
    return int(storage._checkpoint_offset) + int(tensor.storage_offset()) * tensor.element_size()


def _safetensors(path: Path) -> dict[str, _Place]:
    """Length of the header, the header in JSON, the bytes."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 100_000_000:
                raise ValueError("its header would be larger than 100 MB")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if path.stat().st_size < end:
            raise ValueError(f"{path.stat().st_size} bytes of {end}")
        return {key: _Place(path, 8 + length + entry["data_offsets"][0], _like(entry)) for key, entry in header.items()}
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, struct.error) as error:
        raise ConversionError(f"{path.name} is cut short or no safetensors file: {_first(error)}.") from error


def _like(entry: Mapping[str, Any]) -> Tensor:
    like = torch.empty(entry["shape"], dtype=_SAFETENSORS_TYPES[entry["dtype"]], device="meta")
    first, stop = entry["data_offsets"]
    if stop - first != math.prod(entry["shape"]) * like.element_size():
        raise ValueError("a tensor's length and shape disagree")
    return like


def _first(error: BaseException) -> str:
    return str(error).split("\n")[0].split(". ")[0].rstrip(".")
