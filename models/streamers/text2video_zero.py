"""Text2Video-Zero as the streamer: every chunk is made from the first frame, moved further.

Source: Text2Video-Zero (arXiv 2303.13439). A later prompt is drawn from the same first latents: the first frame that a
chunk looks at is drawn with it too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models import pixels
from models.request import Brief
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep
from models.text2video_zero.chunks import counted
from models.text2video_zero.pipeline import Text2VideoZero
from models.units import Unit

LATENTS = ("start", "moved")  # of the first frame: `models.text2video_zero.pipeline.State`


class ZeroShot:
    """source: a `models.first_chunk.text2video_zero.Text2VideoZeroSource`."""

    def __init__(self, brief: Brief, source: Any):
        self._brief = brief
        self._shot: Text2VideoZero = source.shot(brief.wish())

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        shot, tokens = self._shot, self._tokens(0)
        count = counted(on_step, shot.passes_to_begin + shot.passes_a_chunk)
        latents = shot.begin(tokens, count)
        return self._drawn(latents, range(self._brief.model.chunk_frames), tokens, count)

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        frames = range(unit.first_frame, unit.first_frame + self._brief.model.new_frames)
        return self._drawn({name: before[name] for name in LATENTS}, frames, self._tokens(unit.first_frame), on_step)

    def _drawn(self, latents: State, frames: range, tokens: torch.Tensor, on_step: OnStep) -> tuple[np.ndarray, State]:
        size = self._brief.model.size
        made = pixels.fit(self._shot.chunk(latents, frames, tokens, on_step), size.height, size.width)
        return made, {**latents, "frames": torch.from_numpy(made)}

    def _tokens(self, frame: int) -> torch.Tensor:
        return self._shot.read(self._brief.caption(frame), self._brief.request.negative_prompt)
