"""A pipeline of diffusers that is called itself, chunk after chunk: its networks shared, all that a call changes apart.

Owns what every such call needs: a scheduler of its own, steps that are told, a VAE in other numbers than the networks,
frames and sound as the house has them. Knows no pipeline by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy, deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models import noise
from models.releases import Release
from models.streaming_t2v.sampler import OnStep

SCHEDULERS = ("scheduler", "audio_scheduler")
LOUDEST = 32767  # of int16


class Made(NamedTuple):
    """frames: uint8 [F, H, W, 3]. sound: int16 [S, C], as loud as the pipeline has it; None where it makes none."""

    frames: np.ndarray
    sound: np.ndarray | None


def call(pipeline: Any, asked: Mapping[str, Any], on_step: OnStep) -> Made:
    """What one call makes. asked: by the names of its arguments; those it has not are left out.

    What `on_step` raises passes through. Nothing of the pipeline is changed by it.
    """
    own = _apart(pipeline)

    def told(_: Any, step: int, t: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        on_step(step + 1, own.num_timesteps)
        return {}

    has = inspect.signature(type(pipeline).__call__).parameters
    given = {**asked, "callback_on_step_end": told, "output_type": "np"}
    with torch.no_grad():
        made = own(**{name: value for name, value in given.items() if name in has})
    frames: np.ndarray = made.frames[0]  # float32 [F, H, W, 3], 0..1
    return Made((frames * 255).round().astype(np.uint8), _sound(getattr(made, "audio", None)))


def _sound(waves: Tensor | None) -> np.ndarray | None:  # [1, C, S], -1..1
    if waves is None:
        return None
    loudness: np.ndarray = (waves[0].float().clamp(-1, 1) * LOUDEST).round().to(torch.int16).T.cpu().numpy()
    return np.ascontiguousarray(loudness)


def grain(pipeline: Any, release: Release, *, seed: int, stage: str, index: int) -> torch.Generator:
    """What a call draws its noise from, for itself alone."""
    drawn = noise.generator(seed=seed, stage=stage, index=index)
    if not release.draws_on_device:
        return drawn
    return torch.Generator(pipeline.transformer.device).manual_seed(drawn.initial_seed())


def picture(frame: np.ndarray) -> Image.Image:  # uint8 [H, W, 3]
    """A frame as every pipeline takes pictures."""
    return Image.fromarray(frame)


def _apart(pipeline: Any) -> Any:
    """The same networks under another name, with what a call changes of its own."""
    own = copy(pipeline)
    for name in SCHEDULERS:
        if (scheduler := getattr(pipeline, name, None)) is not None:
            vars(own)[name] = deepcopy(scheduler)
    vars(own)["vae"] = _casting(pipeline.vae)
    return own


def _casting(vae: Any) -> Any:
    """The same weights, fed in their own numbers: several pipelines hand latents over in those of the text encoder,
    and VAEs are float32 here (`models.memory.precision`).
    """
    own = copy(vae)
    for name in ("encode", "decode"):
        vars(own)[name] = _cast(getattr(vae, name), vae.dtype)
    return own


def _cast(method: Callable[..., Any], dtype: torch.dtype) -> Callable[..., Any]:
    def cast(*given: Any, **named: Any) -> Any:
        fed = [value.to(dtype) if _is_real(value) else value for value in given]
        return method(*fed, **{name: value.to(dtype) if _is_real(value) else value for name, value in named.items()})

    return cast


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
