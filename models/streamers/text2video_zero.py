"""Text2Video-Zero as the streamer: every chunk is made from the first frame, moved further.

Source: Text2Video-Zero (arXiv 2303.13439). A later prompt is drawn from the same first latents: the first frame that a
chunk looks at is drawn with it too.
"""

from __future__ import annotations

from dataclasses import replace
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
        self._brief, self._source = brief, source

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        shot = self._shot(0)
        tokens = self._tokens(shot, 0)
        count = counted(on_step, shot.passes_to_begin + shot.passes_a_chunk)
        latents = shot.begin(tokens, count)
        return self._drawn(shot, latents, range(self._brief.model.chunk_frames), tokens, count)

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        shot, first = self._shot(unit.first_frame), unit.first_frame
        frames = range(first, first + self._brief.model.new_frames)
        latents = {name: before[name] for name in LATENTS}
        return self._drawn(shot, latents, frames, self._tokens(shot, first), on_step)

    def _shot(self, frame: int) -> Text2VideoZero:
        """What draws the frames from this one on: with the seed in force there."""
        shot: Text2VideoZero = self._source.shot(replace(self._brief.wish(), seed=self._brief.request.seed_at(frame)))
        return shot

    def _drawn(
        self, shot: Text2VideoZero, latents: State, frames: range, tokens: torch.Tensor, on_step: OnStep
    ) -> tuple[np.ndarray, State]:
        size = self._brief.model.size
        made = pixels.fit(shot.chunk(latents, frames, tokens, on_step), size.height, size.width)
        return made, {**latents, "frames": torch.from_numpy(made)}

    def _tokens(self, shot: Text2VideoZero, frame: int) -> torch.Tensor:
        return shot.read(self._brief.caption(frame), self._brief.request.negative_prompt)
