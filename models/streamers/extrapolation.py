"""Make-A-Video as the streamer: ↑F is given the last frames of a chunk, and the frames after them are masked.

Source: Make-A-Video (arXiv 2209.14792) section 3.3, extrapolation by the mask. What is known of the past is what stands
in those frames; the words are not read again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models import pixels
from models.make_a_video.interpolation import Filling, Window, fill, nothing
from models.request import Brief
from models.streamers.streamer import ChunkStreamer, State
from models.streaming_t2v.sampler import OnStep
from models.units import Unit


class Extrapolation:
    """source: a `models.first_chunk.make_a_video.MakeAVideo` with an interpolator. opening: makes the first chunk."""

    def __init__(self, brief: Brief, source: Any, opening: ChunkStreamer):
        self._brief, self._parts, self._opening = brief, source.pipeline, opening

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        frames, _ = self._opening.begin(on_step)
        return frames, {"frames": torch.from_numpy(frames)}

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        model, parts, request = self._brief.model, self._parts, self._brief.request
        known = before["frames"][-model.conditioning_frames :].numpy()
        size = (model.size.height, model.size.width)
        latents = pixels.encode(parts.vae, known, size=size, resize="bilinear", batch=8)[None]
        first = unit.first_frame - model.conditioning_frames
        window = Window(first, first + model.chunk_frames - 1, tuple(range(model.conditioning_frames)))
        steps, _ = self._brief.streamer_sampling
        made = fill(
            parts.interpolator, parts.scheduler, latents, window, Filling(steps=steps),
            seed=request.seed_at(unit.first_frame), condition=nothing(parts.interpolator),
            fps=request.rate or model.fps, on_step=on_step,
        )  # fmt: skip
        frames = pixels.decode(parts.vae, made[0, :, model.conditioning_frames :], batch=8)
        return frames, {"frames": torch.from_numpy(frames)}
