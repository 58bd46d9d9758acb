"""What goes on from chunk to chunk, whichever system does it; and which system that is for a model.

Owns the choice; how a system draws is its own room's. Knows nothing of refinement or of what comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from models import systems
from models.first_chunk.source import Source
from models.model import CheckpointError
from models.request import Brief
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.sampler import OnStep
from models.units import Unit

#: "frames", uint8 [F, H, W, 3]: the chunk that leaves it; and what the next chunk needs. "sound", int16 [S, C], of a
#: model that makes it: that of the new frames at least, which is not kept for the next chunk (`models.recipe`).
State = dict[str, Tensor]


class ChunkStreamer(Protocol):
    """Makes the chunks of one video. Holds nothing that changes: what passes from chunk to chunk is the state."""

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """The first chunk, uint8 [F, H, W, 3]. What `on_step` raises passes through, here and below."""

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        """The new frames of a later chunk, from the state that the chunk before it left."""


def streamer_of(
    brief: Brief, pipeline: StreamingPipeline, sources: Mapping[str, Source], ablation: dict[str, Any]
) -> ChunkStreamer:
    """The streamer that the model names. Raises `CheckpointError` for a system whose weights are not in `sources`."""
    from models.streamers import again, along, extrapolation, fifo, freenoise, streaming_t2v, text2video_zero

    model = brief.model
    for role, system in (("begins with", model.first_chunk), ("goes on by", model.streamer)):
        if system not in {*systems.OWNED, *sources}:
            raise CheckpointError(f"{model.name} {role} {system}, and its weights are not loaded.")
    own = streaming_t2v.StreamingT2V(brief, pipeline, sources.get(model.first_chunk), ablation)
    if model.streamer == systems.STREAMING:
        return own
    if model.streamer == systems.FIFO:
        return fifo.Fifo(brief, pipeline, own)
    if model.streamer == systems.FREENOISE:
        return freenoise.FreeNoise(brief, pipeline, own)
    source = sources[model.streamer]
    if model.streamer == systems.TEXT2VIDEO_ZERO:
        return text2video_zero.ZeroShot(brief, source)
    if model.streamer in systems.FROM_CLIPS:
        return along.AlongAClip(brief, source)
    if model.streamer == systems.MAKE_A_VIDEO:
        return extrapolation.Extrapolation(brief, source, own)
    return again.FromTheLastFrame(brief, source, own)
