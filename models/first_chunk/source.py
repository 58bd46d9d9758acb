"""What another system is asked for when it is to draw the first chunk, and what it answers with.

Knows no system, and nothing of the chunks that follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from models import noise, pixels
from models.streaming_t2v.sampler import OnStep


@dataclass(frozen=True, slots=True)
class Wish:
    """What a chunk is to show, and how it is to be drawn.

    image: uint8 [h, w, 3], of any size. steps, guidance_scale: 0 for those of the source's weights as they were
    released. index: of the chunk, each of which has noise of its own. fps: frames a second that the chunk is shown at.
    rate: frames a second that motion is drawn for, by networks that hear it: at half the rate all moves twice as far.
    motion: of the camera, right and down a frame in 1/512 of the frame, for Text2Video-Zero. None: the system's own.
    """

    prompt: str
    negative_prompt: str
    image: np.ndarray | None
    num_frames: int
    height: int
    width: int
    seed: int
    steps: int
    guidance_scale: float  # by the text; a source that reads none has its own
    eta: float = 1.0  # of DDIM, by systems that sample with it
    index: int = 0
    fps: float = 8.0
    rate: float | None = None
    motion: tuple[float, float] | None = None

    def near(self, trained: int) -> tuple[int, int]:
        """Height and width in the shape wished for, of which a network draws best that was trained at that size.

        The shorter side is the trained one, the longer one the nearest multiple of 64.
        """
        scale = trained / min(self.height, self.width)
        height, width = (max(trained, round(side * scale / 64) * 64) for side in (self.height, self.width))
        return height, width

    def framed(self, height: int, width: int) -> tuple[np.ndarray, tuple[slice, slice]]:
        """The picture in the middle of a canvas of that size, black around it, uint8 [H, W, 3]; and where on it.

        Raises ValueError where there is no picture.
        """
        if self.image is None:
            raise ValueError("This first chunk goes on from a picture, and none is given.")
        scale = min(height / self.height, width / self.width)
        tall, wide = round(self.height * scale), round(self.width * scale)
        top, left = (height - tall) // 2, (width - wide) // 2
        place = slice(top, top + tall), slice(left, left + wide)
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[place] = pixels.fit(self.image[None], tall, wide)[0]
        return canvas, place

    def noise(self, *shape: int) -> torch.Tensor:
        """What sampling starts from."""
        return noise.gaussian(shape, seed=self.seed, stage="first-chunk", index=self.index)


class Source(Protocol):
    """A system that draws first chunks."""

    needs_image: bool  # whether it draws from a picture; else from the text alone
    pipeline: Any  # of diffusers

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        """uint8 [F, H, W, 3], exactly as wished. What `on_step` raises passes through."""


def quantized(video: np.ndarray, wish: Wish) -> np.ndarray:
    """What diffusers returns, float [F, h, w, 3] in 0..1, as the frames wished for.

    Published is the nearest pixel of each place, which aliases; here the frames are resized with an antialiased bicubic
    filter.
    """
    frames = (video[: wish.num_frames] * 255).round().clip(0, 255).astype(np.uint8)
    return pixels.fit(frames, wish.height, wish.width)


def after_each_step(on_step: OnStep, steps: int) -> Any:
    """`on_step` as a `callback_on_step_end` of diffusers."""

    def callback(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1, steps)
        return tensors

    return callback
