"""LTX-2 as the streamer: frame by frame what LTX-Video does, by the pipeline that also makes sound.

Source: LTX-2 (arXiv 2601.03233). Owns what `LTX2ConditionPipeline` is asked, and how the sound of a chunk follows that
of the one before; how both are drawn is the pipeline's own. It knows the frames that a chunk begins with, not how they
sounded. So each chunk is asked for a little more sound than it has frames, into which the next one's is faded.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import LTX2ConditionPipeline

from models.request import Brief
from models.sound import begins, faded
from models.streamers import apart
from models.streamers.ltx import Ltx
from models.streamers.streamer import State

FADE_S = 0.05  # long enough for no click, too short for an echo
UNHEARD = 1  # latent: the first one is decoded to a quarter of what the others are


class Ltx2(Ltx):
    """pipeline: any of diffusers' pipelines of LTX-2, whose networks are the same.

    The state has besides "fade", int16 [S, C]: how the sound goes on after the last frame. And "sound", of the new
    frames.
    """

    stage = "ltx2"

    def __init__(self, pipeline: Any, brief: Brief):
        super().__init__(from_clips(pipeline), brief)

    def _left(self, made: apart.Made, first_frame: int, before: State) -> State:
        """Raises ValueError where the pipeline made too little sound."""
        model = self._brief.model
        start = first_frame - (self._overlap if before else 0)
        first, stop = (
            begins(frame, fps=model.fps, rate=model.sound_rate) - begins(start, fps=model.fps, rate=model.sound_rate)
            for frame in (first_frame, start + model.chunk_frames)
        )
        end = stop + round(FADE_S * model.sound_rate)
        if made.sound is None or len(made.sound) < end:
            raise ValueError(f"The pipeline made no {end} samples of sound for {model.chunk_frames} frames.")
        new = made.sound[first:stop]
        heard = faded(before["fade"].numpy(), new) if before else new
        fade = made.sound[stop:end]
        left = {"sound": torch.from_numpy(heard.copy()), "fade": torch.from_numpy(fade.copy())}
        return super()._left(made, first_frame, before) | left

    def _asked_besides(self) -> dict[str, Any]:
        options, network = self._brief.options, self._pipeline.transformer.config
        stg_scale = options["stg_scale"] if network.perturbed_attn else 0.0  # else it would cost a pass for nothing
        return {
            "audio_latents": self._room(),
            "audio_guidance_scale": options["audio_guidance_scale"],
            "stg_scale": stg_scale,
            "audio_stg_scale": stg_scale,
            "spatio_temporal_guidance_blocks": [options["stg_block"]],
            "modality_scale": options["modality_scale"],
            "audio_modality_scale": options["modality_scale"],
            "guidance_rescale": options["guidance_rescale"],
            "audio_guidance_rescale": options["guidance_rescale"],
            "use_cross_timestep": bool(network.cross_attn_mod),  # as 2.3 was trained, and 2.0 was not
        }

    def _room(self) -> torch.Tensor:  # [1, C, L, M]
        """Room for the sound of a chunk and what fades after it, which the pipeline fills with noise.

        By itself it would make room for the frames only, and leave the last 30 ms of them without.
        """
        pipeline, model = self._pipeline, self._brief.model
        latent_s = (
            pipeline.audio_vae_temporal_compression_ratio * pipeline.audio_hop_length / pipeline.audio_sampling_rate
        )
        latents = math.ceil((model.chunk_frames / model.fps + FADE_S) / latent_s) + UNHEARD
        bins = pipeline.audio_mel_bins // pipeline.audio_vae_mel_compression_ratio
        return torch.zeros(1, pipeline.audio_latent_channels, latents, bins)

    @staticmethod
    def _condition(frames: list[Any]) -> Any:
        from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

        # crf: a single picture is not compressed and decompressed first, for which diffusers wants one more library.
        return LTX2VideoCondition(frames=frames, index=0, crf=0)


def from_clips(pipeline: Any) -> Any:
    """The same networks in the pipeline that is given clips; releases are saved as the one that is given text."""
    made = LTX2ConditionPipeline(**pipeline.components)
    made.tokenizer_padding_side = "left"  # where it pads, from its first call on, whatever the tokenizer was saved with
    made.set_progress_bar_config(disable=True)
    return made
