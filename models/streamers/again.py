"""The last-frame baseline: again and again a picture is set in motion, and the picture is the last frame made.

Source: the comparisons of StreamingT2V (arXiv 2403.14773) section 5, with whatever draws from a picture. What passes
from chunk to chunk is one frame, so motion and what left the picture are forgotten.
"""

from __future__ import annotations

import numpy as np
import torch

from models.first_chunk.source import Source
from models.request import Brief
from models.streamers.streamer import ChunkStreamer, State
from models.streaming_t2v.sampler import OnStep
from models.units import Unit


class FromTheLastFrame:
    """source: draws from a picture. opening: whoever makes the first chunk."""

    def __init__(self, brief: Brief, source: Source, opening: ChunkStreamer):
        self._brief, self._source, self._opening = brief, source, opening

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        frames, _ = self._opening.begin(on_step)
        return frames, {"frames": torch.from_numpy(frames)}

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        """Every frame of it is new: which frame of a clip shows the picture is not fixed."""
        last = before["frames"][-1].numpy()
        frames = self._source.draw(self._brief.wish_after(last, unit.first_frame, unit.index), on_step)
        return frames, {"frames": torch.from_numpy(frames)}
