"""A picture set in motion again and again, and the picture is the last frame made: the plain baseline.

Source: the comparisons of StreamingT2V (arXiv 2403.14773) section 5, with today's models. Owns what one call of
diffusers' pipeline is asked and what of its frames is new; how it draws is the pipeline's own. One frame passes from
chunk to chunk, so motion and whatever left the picture are forgotten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models import pixels
from models.releases import Release
from models.request import Brief
from models.streamers import apart
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep
from models.units import Unit

STAGE = "last-frame"


class LastFrame:
    """pipeline: draws from a picture; its `beside`, if it has one, from text. release: how its kind is asked.

    The state: "last", uint8 [H, W, 3]. Raises ValueError where the brief has no picture and nothing draws from text.
    """

    def __init__(self, pipeline: Any, brief: Brief, release: Release):
        self._pipeline, self._brief, self._release = pipeline, brief, release
        self._text = getattr(pipeline, "beside", None)
        if brief.request.image is None and self._text is None:
            raise ValueError(f"{brief.model.name} goes on from a picture; none is given, and nothing draws from text.")

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """From the picture, which is the first frame; else from the text alone."""
        image, size = self._brief.request.image, self._brief.model.size
        if image is None:
            frames = self._drawn(self._text, {}, 0, 0, on_step)
        else:
            (fitted,) = pixels.fit(image[None], size.height, size.width)
            frames = self._drawn(self._pipeline, {"image": apart.picture(fitted)}, 0, 0, on_step)
        return frames, _left(frames)

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        """All frames but the first, which shows the picture again."""
        picture = apart.picture(before["last"].numpy())
        frames = self._drawn(self._pipeline, {"image": picture}, unit.index, unit.first_frame, on_step)
        return frames[1:], _left(frames)

    def _drawn(self, pipeline: Any, given: dict[str, Any], index: int, frame: int, on_step: OnStep) -> np.ndarray:
        """One call, uint8 [F, H, W, 3]. Raises ValueError where the pipeline makes another number of frames."""
        model, request = self._brief.model, self._brief.request
        asked = {
            **self._release.call(model.size, model.chunk_frames, request.steps, request.guidance_scale, model.fps),
            "prompt": self._brief.caption(frame),
            "negative_prompt": self._brief.negative_prompt or None,
            "generator": apart.grain(pipeline, self._release, seed=request.seed_at(frame), stage=STAGE, index=index),
        }
        frames = apart.call(pipeline, {**asked, **given}, on_step).frames
        if len(frames) != model.chunk_frames:
            raise ValueError(f"{type(pipeline).__name__} made {len(frames)} frames, not {model.chunk_frames}.")
        return frames


def _left(frames: np.ndarray) -> State:
    return {"last": torch.from_numpy(frames[-1].copy())}
