"""Video Instruct-Pix2Pix as the streamer: a clip that is there already, changed as the prompt says.

Source: Text2Video-Zero (arXiv 2303.13439), "Video Instruct-Pix2Pix". Every chunk is drawn with the first frame of the
clip before it, and from nothing that another chunk left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models import pixels
from models.request import Brief
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep
from models.text2video_zero.edit import EditOptions, follower
from models.units import Unit


class Editing:
    """source: a `models.first_chunk.instruct_pix2pix.InstructPix2Pix`."""

    def __init__(self, brief: Brief, source: Any):
        model, request = brief.model, brief.request
        self._options = EditOptions(
            steps=request.steps, guidance_scale=request.guidance_scale,
            image_guidance_scale=request.anchor_guidance_scale, chunk_frames=model.chunk_frames,
        )  # fmt: skip
        self._brief, self._parts, self._clip = brief, source.pipeline, request.clip

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        return self._drawn(range(min(self._brief.model.chunk_frames, self._brief.request.num_frames)), on_step)

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        return self._drawn(range(unit.first_frame, unit.first_frame + unit.num_frames), on_step)

    def _drawn(self, span: range, on_step: OnStep) -> tuple[np.ndarray, State]:
        size, clip = self._brief.model.size, self._clip
        if clip is None:
            raise ValueError("An instruction changes a clip, and none is given.")
        shown = np.concatenate([clip[:1], clip[max(1, span.start) : span.stop]])
        request, instruction = self._brief.request, self._brief.caption(span.start)
        seed = request.seed_at(span.start)
        follow = follower(self._parts, instruction, request.negative_prompt, seed=seed, how=self._options)
        frames = follow.chunk(pixels.fit(shown, size.height, size.width), on_step)
        frames = frames if span.start == 0 else frames[1:]
        return frames, {"frames": torch.from_numpy(frames)}
