"""A component of the folder that a conversion writes: what it is, and where each of its tensors comes from.

Owns the check that a released file is what it is taken for; reads tensors one by one, writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.released.weights import Weights
from models.streaming_t2v.convert import check


def as_it_is(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True, slots=True)
class Origin:
    """The released tensor that one of ours is made of, and how."""

    key: str
    change: Callable[[Tensor], Tensor] = as_it_is


@dataclass(frozen=True)
class Part:
    """A network: `model` is on the meta device; `origins` says where each entry of its state dict comes from.

    Made only if names and shapes are exactly those of the class; raises `ConversionError` else.
    """

    name: str
    model: Any
    weights: Weights
    origins: Mapping[str, Origin]

    def __post_init__(self) -> None:
        known = {key: origin for key, origin in self.origins.items() if origin.key in self.weights.like}
        got = {key: origin.change(self.weights.like[origin.key]) for key, origin in known.items()}
        check(self.name, got, {key: tensor.shape for key, tensor in self.state_dict.items()})

    @property
    def state_dict(self) -> dict[str, Tensor]:
        module: nn.Module = self.model
        return module.state_dict()

    def read(self, key: str) -> Tensor:
        """The tensor of that name in `model`'s state dict."""
        origin = self.origins[key]
        return origin.change(self.weights.read(origin.key))

    def save_config(self, folder: Path) -> None:
        config = getattr(self.model, "save_config", None) or self.model.config.save_pretrained
        config(folder)


@dataclass(frozen=True)
class Extra:
    """A component without weights: tokenizer, scheduler."""

    name: str
    model: Any

    def save_config(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
