"""StreamingT2V as the streamer: the first chunk by its source, later ones with CAM and APM.

Owns how a brief becomes what the room of StreamingT2V is told; knows nothing of refinement.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from models import pixels
from models.first_chunk import own, still
from models.first_chunk.source import Source
from models.request import Brief
from models.streamers.streamer import State
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.sampler import OnStep
from models.streaming_t2v.streamer import Streamer, StreamerSettings
from models.streaming_t2v.text import EncodedText, encode
from models.units import Unit


class StreamingT2V:
    """source: what draws the first chunk, where it is not the checkpoint's own network. ablation: fields of
    `StreamerSettings` that differ from what model and request say.
    """

    def __init__(self, brief: Brief, pipeline: StreamingPipeline, source: Source | None, ablation: dict[str, Any]):
        model, request = brief.model, brief.request
        settings = StreamerSettings(
            steps=request.steps,
            guidance_scale=request.guidance_scale,
            anchor_guidance_scale=request.anchor_guidance_scale,
            eta=model.eta,
            chunk_frames=model.chunk_frames,
            conditioning_frames=model.conditioning_frames,
            hold_known_frames=model.hold_known_frames,
            turbo=request.turbo,
        )
        settings, size = replace(settings, **ablation), model.size
        self._brief, self._pipeline, self._source = brief, pipeline, source
        self._streamer = Streamer(pipeline, settings, height=size.height, width=size.width, seed=request.seed)
        self._text = cache(self._encode)

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """By the model's source, if it draws from what is given; else from the picture, else from the text."""
        brief, streamer, image = self._brief, self._streamer, self._brief.request.image
        if self._source is not None and self._source.needs_image == (image is not None):
            frames = self._source.draw(brief.wish(), on_step)
            return frames, streamer.begin(frames)
        text, null = self._text(brief.caption(0)), self._null()
        if image is not None:
            (picture,) = pixels.fit(image[None], brief.model.size.height, brief.model.size.width)
            return still.go_on_from(picture, streamer, text, null, on_step)
        steps, scale = brief.first_chunk_sampling
        return own.draw(streamer, text, null, steps=steps, guidance_scale=scale, on_step=on_step)

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        text = self._text(self._brief.caption(unit.first_frame))
        streamer = self._streamer.seeded(self._brief.request.seed_at(unit.first_frame))
        return streamer.next_chunk(unit.index, before, text, self._null(), on_step)

    def _null(self) -> EncodedText:
        return self._text(self._brief.request.negative_prompt)

    @torch.no_grad()
    def _encode(self, prompt: str) -> EncodedText:
        parts = self._pipeline
        return encode(parts.tokenizer, parts.text_encoder, [prompt], parts.unet.config.num_text_tokens)
