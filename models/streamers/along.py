"""What follows a clip, as the streamer: an instruction changes it, or a prompt is drawn along its edges.

Source: Text2Video-Zero (arXiv 2303.13439), "Video Instruct-Pix2Pix" and "Conditional and specialized text-to-video".
Every chunk is drawn with the first frame of the clip before it, and from nothing that another chunk left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models import pixels
from models.request import Brief
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep
from models.units import Unit


class AlongAClip:
    """source: a `models.first_chunk.along.ClipSource`."""

    def __init__(self, brief: Brief, source: Any):
        self._brief, self._source, self._clip = brief, source, brief.request.clip

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        return self._drawn(range(min(self._brief.model.chunk_frames, self._brief.request.num_frames)), on_step)

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        return self._drawn(range(unit.first_frame, unit.first_frame + unit.num_frames), on_step)

    def _drawn(self, span: range, on_step: OnStep) -> tuple[np.ndarray, State]:
        model, request = self._brief.model, self._brief.request
        if self._clip is None:
            raise ValueError(f"{model.name} follows a clip, and none is given.")
        shown = np.concatenate([self._clip[:1], self._clip[max(1, span.start) : span.stop]])
        follow = self._source.follower(
            self._brief.caption(span.start), request.negative_prompt, seed=request.seed_at(span.start),
            steps=request.steps, guidance_scale=request.guidance_scale, closeness=request.anchor_guidance_scale,
            chunk_frames=model.chunk_frames,
        )  # fmt: skip
        given = self._source.shown(pixels.fit(shown, model.size.height, model.size.width))
        frames = follow.chunk(given, on_step)
        frames = frames if span.start == 0 else frames[1:]
        return frames, {"frames": torch.from_numpy(frames)}
