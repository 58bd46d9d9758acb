"""The systems that follow a clip, for `models.streamers.along`: InstructPix2Pix (arXiv 2211.09800), which changes it as
an instruction says, and ControlNet (arXiv 2302.05543), which draws a prompt along its edges.

Owns how their weights are loaded, beside those of the systems that draw first chunks; they draw none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from models.first_chunk.source import Wish
from models.streaming_t2v.sampler import OnStep
from models.text2video_zero import control, edit, parts
from models.text2video_zero.clip import Follower
from models.text2video_zero.control import ControlOptions
from models.text2video_zero.edges import edges
from models.text2video_zero.edit import EditOptions


class ClipSource(ABC):
    """Holds the parts."""

    needs_image = False

    def __init__(self, pipeline: Any):
        self.pipeline = pipeline

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        raise ValueError("It follows a clip, and there is none to begin with.")

    @abstractmethod
    def shown(self, frames: np.ndarray) -> np.ndarray:
        """What the networks see of a clip, uint8 [F, H, W, 3] both."""

    @abstractmethod
    def follower(
        self, prompt: str, negative_prompt: str, *, seed: int, steps: int, guidance_scale: float, closeness: float,
        chunk_frames: int,
    ) -> Follower:  # fmt: skip
        """What draws along what is shown. closeness: how strictly."""


class InstructPix2Pix(ClipSource):
    """pipeline: `models.text2video_zero.parts.load`'s with `shown`."""

    def shown(self, frames: np.ndarray) -> np.ndarray:
        return frames

    def follower(self, prompt: str, negative_prompt: str, *, seed: int, closeness: float, **how: Any) -> Follower:
        options = EditOptions(image_guidance_scale=closeness, **how)
        return edit.follower(self.pipeline, prompt, negative_prompt, seed=seed, how=options)


class ControlNet(ClipSource):
    """pipeline: a StableDiffusionControlNetPipeline, as the holder of its parts."""

    def shown(self, frames: np.ndarray) -> np.ndarray:
        return edges(frames)

    def follower(self, prompt: str, negative_prompt: str, *, seed: int, closeness: float, **how: Any) -> Follower:
        options = ControlOptions(control_scale=closeness, **how)
        return control.follower(self.pipeline, prompt, negative_prompt, seed=seed, how=options)


def load_instruct_pix2pix(folder: str, **options: Any) -> InstructPix2Pix:
    """From a folder of InstructPix2Pix in diffusers layout; `options` are those of `from_pretrained`."""
    return InstructPix2Pix(parts.load(folder, shown=True, **options))


def load_controlnet(folder: str, **options: Any) -> ControlNet:
    """From a folder of Stable Diffusion 1.x with a `controlnet` for edges, which diffusers saves as one pipeline."""
    return ControlNet(parts.load(folder, controlled=True, **options))
