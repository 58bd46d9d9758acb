"""Video Instruct-Pix2Pix: a clip is changed as an instruction says, all of its frames alike.

Source: Text2Video-Zero (arXiv 2303.13439), "Video Instruct-Pix2Pix"; the network is InstructPix2Pix (arXiv 2211.09800).
Owns how the clip enters the network and the guidance with three branches; the loop is `clip`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import pixels
from models.streaming_t2v.sampler import OnStep, ignore
from models.text2video_zero.clip import Follower
from models.text2video_zero.denoiser import Guide
from models.text2video_zero.options import STEPS, within


@dataclass(frozen=True, slots=True)
class EditOptions:
    """How a clip is changed. Published: these, but Euler's ancestral solver with other noise for every frame.

    That flickers; DDIM from one noise does not. Raises ValueError for a value out of its range.
    """

    steps: int = 50  # 2..100
    guidance_scale: float = 7.5  # s_T, 0..50: how far to the instruction
    image_guidance_scale: float = 1.0  # s_I, 0..10: how close to the clip
    chunk_frames: int = 8  # frames through the network at once, the first one always among them; 2..64

    def __post_init__(self) -> None:
        within("steps", self.steps, *STEPS)
        within("guidance_scale", self.guidance_scale, 0, 50)
        within("image_guidance_scale", self.image_guidance_scale, 0, 10)
        within("chunk_frames", self.chunk_frames, 2, 64)


def edit(
    parts: Any,
    frames: np.ndarray,  # uint8 [F, H, W, 3]
    instruction: str,
    negative_prompt: str = "",
    *,
    seed: int,
    options: EditOptions | None = None,
    on_step: OnStep = ignore,
) -> Iterator[np.ndarray]:
    """The clip as the instruction wants it, uint8 [F, H, W, 3] of the same size, chunk by chunk.

    parts: `parts.load`'s with `shown`. Raises ValueError for frames of another kind, or whose sides are no multiples
    of 8.
    """
    follow = follower(parts, instruction, negative_prompt, seed=seed, how=options or EditOptions())
    return follow.follow(frames, on_step)


def follower(parts: Any, instruction: str, negative_prompt: str, *, seed: int, how: EditOptions) -> Follower:
    """What changes any part of a clip; its chunks depend on the first frame alone, and not on each other."""
    return Follower(
        parts,
        lambda chunk: Shown(parts, chunk),
        [instruction, negative_prompt, negative_prompt],
        by_text_and_picture(how.guidance_scale, how.image_guidance_scale),
        looking=(parts.unet,),
        steps=how.steps,
        chunk_frames=how.chunk_frames,
        seed=seed,
    )


def by_text_and_picture(text_scale: float, picture_scale: float) -> Guide:
    """null + s_I (picture - null) + s_T (text - picture), InstructPix2Pix Eq. 3, over (text, picture, null).

    text: instruction and picture; picture: the picture alone; null: neither.
    """
    return lambda said: said[2] + text_scale * (said[0] - said[1]) + picture_scale * (said[1] - said[2])


class Shown:
    """A network of InstructPix2Pix that is shown frames: their latents, unscaled, beside the noise's channels."""

    def __init__(self, parts: Any, frames: np.ndarray):
        self._unet = parts.unet
        size = (frames.shape[1], frames.shape[2])
        latents = pixels.encode(parts.vae, frames, size=size, resize="bilinear", batch=8).transpose(0, 1)
        seen = latents / parts.vae.config.scaling_factor
        self._seen = torch.cat([seen, seen, torch.zeros_like(seen)])  # [3 * K, C, h, w]

    def __call__(self, pictures: Tensor, t: Tensor, encoder_hidden_states: Tensor) -> Any:
        both = torch.cat([pictures, self._seen.to(pictures)], dim=1)
        return self._unet(both, t, encoder_hidden_states=encoder_hidden_states)
