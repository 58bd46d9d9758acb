"""What a video is to be: the request, and the request in the words of the model that is to make it.

Knows the catalogue and nothing of tensors but the pictures that are given.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from models import limits
from models.first_chunk.source import Wish
from models.model import Model
from models.turbo import Turbo


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """How to refine: solver steps, share of the noise schedule gone back to, rule of blending.

    bands: how many workers can refine one video at once (`models.tiles`); the frames are the same with any.
    """

    steps: int
    strength: float
    blending: str = "randomized"
    bands: int = 1


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """What to make.

    num_frames: before interpolation. prompts, seeds: (from frame, prompt) and (from frame, seed) pairs, which take over
    from `prompt` and `seed`. image: a picture to begin with, uint8 [h, w, 3] of any size. clip: frames to be changed,
    uint8 [F, H, W, 3], for a model that changes frames; a part at a time is read of it. interpolate: how many frames
    are made of one. upscale: factor of both sides. turbo: what is left out of the sampling, which
    is nothing. rate, motion: see `Wish`.
    """

    prompt: str
    num_frames: int
    seed: int
    steps: int
    guidance_scale: float
    anchor_guidance_scale: float
    negative_prompt: str = ""
    prompts: tuple[tuple[int, str], ...] = ()
    seeds: tuple[tuple[int, int], ...] = ()
    refine: RefineOptions | None = None
    interpolate: int = 1
    upscale: int = 1
    turbo: Turbo = Turbo()
    rate: float | None = None
    motion: tuple[float, float] | None = None
    image: np.ndarray | None = field(default=None, repr=False)
    clip: np.ndarray | None = field(default=None, repr=False)

    def prompt_at(self, frame: int) -> str:
        """The prompt in force at a frame."""
        return next((text for start, text in sorted(self.prompts, reverse=True) if start <= frame), self.prompt)

    def seed_at(self, frame: int) -> int:
        """The seed in force at a frame."""
        return next((seed for start, seed in sorted(self.seeds, reverse=True) if start <= frame), self.seed)


def default_request(model: Model, prompt: str, *, num_frames: int, seed: int, refine: bool) -> VideoRequest:
    """A request with the model's own defaults."""
    return VideoRequest(
        prompt=prompt,
        num_frames=num_frames,
        seed=seed,
        steps=model.default_steps,
        guidance_scale=model.default_guidance_scale,
        anchor_guidance_scale=model.default_anchor_guidance_scale,
        refine=RefineOptions(model.default_refine_steps, model.default_refine_strength) if refine else None,
    )


@dataclass(frozen=True, slots=True)
class Brief:
    """A request to a model: what the systems that make the video are told."""

    model: Model
    request: VideoRequest

    def caption(self, frame: int) -> str:
        """What is to be seen at a frame, as the model's text encoder reads it."""
        return limits.caption(self.model, self.request.prompt_at(frame))

    @property
    def negative_prompt(self) -> str:
        """What is not to be seen: as asked, else as the model's family has it."""
        return self.request.negative_prompt or self.model.negative_prompt

    @property
    def options(self) -> dict[str, Any]:
        """What the model's family samples by besides what a request says."""
        return dict(self.model.options)

    @property
    def first_chunk_sampling(self) -> tuple[int, float]:
        """Steps and guidance scale: the first chunk's own, where the request leaves them to the model."""
        return self._own(self.model.first_chunk_steps, self.model.first_chunk_guidance_scale)

    @property
    def streamer_sampling(self) -> tuple[int, float]:
        """The same of later chunks."""
        return self._own(self.model.streamer_steps, self.model.streamer_guidance_scale)

    def _own(self, own_steps: int | None, own_scale: float | None) -> tuple[int, float]:
        model, request = self.model, self.request
        steps, scale = request.steps, request.guidance_scale
        if steps in (model.default_steps, model.turbo and model.turbo.steps):
            steps = steps if own_steps is None else own_steps
        if scale == model.default_guidance_scale:
            scale = scale if own_scale is None else own_scale
        return steps, scale

    def wish(self) -> Wish:
        """What a source is asked for the first chunk."""
        model, request = self.model, self.request
        steps, scale = self.first_chunk_sampling
        return Wish(
            prompt=self.caption(0),
            negative_prompt=request.negative_prompt,
            image=request.image,
            num_frames=model.chunk_frames,
            height=model.size.height,
            width=model.size.width,
            seed=request.seed,
            steps=steps,
            guidance_scale=scale,
            eta=model.eta,
            fps=model.fps,
            rate=request.rate,
            motion=request.motion,
        )

    def wish_after(self, last: np.ndarray, first_frame: int, index: int) -> Wish:
        """What a source that draws from pictures is asked for a later chunk, from the last frame [H, W, 3] before."""
        steps, scale = self.streamer_sampling
        return replace(
            self.wish(),
            prompt=self.caption(first_frame),
            image=last,
            seed=self.request.seed_at(first_frame),
            index=index,
            steps=steps,
            guidance_scale=scale,
        )
