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


class Ltx:
    """pipeline: diffusers' `LTXConditionPipeline`. The state: "known", uint8 [N, H, W, 3], the last frames made."""

    stage = "ltx"

    def __init__(self, pipeline: Any, brief: Brief):
        self._pipeline, self._brief = pipeline, brief
        self._overlap: int = brief.options["overlap_frames"]

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """From the text, and the picture where there is one, which is the first frame."""
        image, size = self._brief.request.image, self._brief.model.size
        known = None if image is None else pixels.fit(image[None], size.height, size.width)
        made = self._made(known, 0, 0, on_step)
        return made.frames, self._left(made, 0, {})

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        made = self._made(before["known"].numpy(), unit.index, unit.first_frame, on_step)
        return made.frames[self._overlap :], self._left(made, unit.first_frame, before)

    def _left(self, made: apart.Made, first_frame: int, before: State) -> State:
        """The state after a chunk that is new from `first_frame` of the video on."""
        return {"known": torch.from_numpy(made.frames[-self._overlap :].copy())}

    def _made(self, known: np.ndarray | None, index: int, frame: int, on_step: OnStep) -> apart.Made:
        """A chunk whose first frames are the known ones, if there are any."""
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
            "generator": noise.generator(seed=request.seed_at(frame), stage=self.stage, index=index),
            **self._asked_besides(),
        }
        if known is not None:
            asked["conditions"] = self._condition([apart.picture(shown) for shown in known])
        return apart.call(self._pipeline, asked, on_step)

    def _asked_besides(self) -> dict[str, Any]:
        """What only this pipeline is asked."""
        options = self._brief.options
        return {name: options[name] for name in ("image_cond_noise_scale", "decode_timestep", "decode_noise_scale")}

    @staticmethod
    def _condition(frames: list[Any]) -> Any:
        """Pictures that a chunk begins with."""
        from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

        return LTXVideoCondition(video=frames, frame_index=0)
