"""Video by ControlNet (arXiv 2302.05543): each frame follows a pose, an edge map or a depth map.

Source: Text2Video-Zero (arXiv 2303.13439), "Conditional and specialized text-to-video". Owns how control frames enter
the network; what they show was drawn elsewhere, and the loop is `clip`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.streaming_t2v.sampler import OnStep, ignore
from models.text2video_zero.clip import Follower
from models.text2video_zero.denoiser import by_text, unguided
from models.text2video_zero.options import STEPS, within


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """How frames follow their control. Published: these. Raises ValueError for a value out of its range."""

    steps: int = 20  # 2..100
    guidance_scale: float = 9.0  # 0..50; at 1 there is no negative prompt, and half the work
    control_scale: float = 1.0  # 0..2: how strictly control is followed; at 0 not at all
    chunk_frames: int = 8  # frames through the networks at once, the first one always among them; 2..64

    def __post_init__(self) -> None:
        within("steps", self.steps, *STEPS)
        within("guidance_scale", self.guidance_scale, 0, 50)
        within("control_scale", self.control_scale, 0, 2)
        within("chunk_frames", self.chunk_frames, 2, 64)


def draw(
    parts: Any,
    control: np.ndarray,  # uint8 [F, H, W, 3]
    prompt: str,
    negative_prompt: str = "",
    *,
    seed: int,
    options: ControlOptions | None = None,
    on_step: OnStep = ignore,
) -> Iterator[np.ndarray]:
    """A video whose frames follow the control frames, uint8 [F, H, W, 3] of their size, chunk by chunk.

    parts: `parts.load`'s with `controlled`. control: as the ControlNet was trained, such as white edges on black.
    Raises ValueError for frames of another kind, or whose sides are no multiples of 8.
    """
    follow = follower(parts, prompt, negative_prompt, seed=seed, how=options or ControlOptions())
    return follow.follow(control, on_step)


def follower(parts: Any, prompt: str, negative_prompt: str, *, seed: int, how: ControlOptions) -> Follower:
    """What draws along any part of the control frames; its chunks depend on the first of them, not on each other."""
    guided = how.guidance_scale != 1
    return Follower(
        parts,
        lambda frames: Controlled(parts.unet, parts.controlnet, frames, how.control_scale),
        [negative_prompt, prompt] if guided else [prompt],
        by_text(how.guidance_scale) if guided else unguided,
        looking=(parts.unet, parts.controlnet),
        steps=how.steps,
        chunk_frames=how.chunk_frames,
        seed=seed,
    )


class Controlled:
    """A network of pictures and its ControlNet as one; every guidance branch sees the control, as published."""

    def __init__(self, unet: Any, controlnet: Any, frames: np.ndarray, scale: float):
        self._unet, self._controlnet, self._scale = unet, controlnet, scale
        self._control = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # [K, 3, H, W]

    def __call__(self, pictures: Tensor, t: Tensor, encoder_hidden_states: Tensor) -> Any:
        branches = len(pictures) // len(self._control)
        down, middle = self._controlnet(
            pictures,
            t,
            encoder_hidden_states=encoder_hidden_states,
            controlnet_cond=self._control.to(pictures).repeat(branches, 1, 1, 1),
            conditioning_scale=self._scale,
            return_dict=False,
        )
        return self._unet(
            pictures,
            t,
            encoder_hidden_states=encoder_hidden_states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        )
