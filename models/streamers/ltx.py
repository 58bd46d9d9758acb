"""LTX-Video as the streamer: a chunk begins with the last frames of the one before, which stand still in it as known.

Source: LTX-Video (arXiv 2501.00103) with conditions at any frame (releases from 0.9.5 on). Owns what
`LTXConditionPipeline` is asked and which of its frames are new; how it draws is the pipeline's own. What the known
frames become when they are decoded with the new ones is left out: they have been shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models import noise, pixels
from models.request import Brief
from models.streamers import apart
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep
from models.units import Unit

STAGE = "ltx"


class Ltx:
    """pipeline: diffusers' `LTXConditionPipeline`. The state: "known", uint8 [N, H, W, 3], the last frames made."""

    def __init__(self, pipeline: Any, brief: Brief):
        self._pipeline, self._brief = pipeline, brief
        self._overlap: int = brief.options["overlap_frames"]

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """From the text, and the picture where there is one, which is the first frame."""
        image, size = self._brief.request.image, self._brief.model.size
        known = None if image is None else pixels.fit(image[None], size.height, size.width)
        frames = self._drawn(known, 0, 0, on_step)
        return frames, self._left(frames)

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        frames = self._drawn(before["known"].numpy(), unit.index, unit.first_frame, on_step)
        return frames[self._overlap :], self._left(frames)

    def _left(self, frames: np.ndarray) -> State:
        return {"known": torch.from_numpy(frames[-self._overlap :].copy())}

    def _drawn(self, known: np.ndarray | None, index: int, frame: int, on_step: OnStep) -> np.ndarray:
        """A chunk, uint8 [F, H, W, 3], whose first frames are the known ones, if there are any."""
        from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

        brief, model, request = self._brief, self._brief.model, self._brief.request
        asked = {
            "prompt": brief.caption(frame),
            "negative_prompt": brief.negative_prompt or None,
            "width": model.size.width,
            "height": model.size.height,
            "num_frames": model.chunk_frames,
            "frame_rate": model.fps,
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance_scale,
            "generator": noise.generator(seed=request.seed_at(frame), stage=STAGE, index=index),
            **{
                name: brief.options[name]
                for name in ("image_cond_noise_scale", "decode_timestep", "decode_noise_scale")
            },
        }
        if known is not None:
            asked["conditions"] = LTXVideoCondition(video=[apart.picture(shown) for shown in known], frame_index=0)
        return apart.call(self._pipeline, asked, on_step)
