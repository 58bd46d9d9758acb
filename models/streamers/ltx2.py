"""LTX-2 as the streamer: frame by frame what LTX-Video does, by the pipeline that also makes sound.

Source: LTX-2 (arXiv 2601.03233). Owns what `LTX2ConditionPipeline` is asked; how it draws is the pipeline's own.
"""

from __future__ import annotations

from typing import Any

from diffusers import LTX2ConditionPipeline

from models.request import Brief
from models.streamers.ltx import Ltx


class Ltx2(Ltx):
    """pipeline: any of diffusers' pipelines of LTX-2, whose networks are the same."""

    stage = "ltx2"

    def __init__(self, pipeline: Any, brief: Brief):
        super().__init__(from_clips(pipeline), brief)

    def _asked_besides(self) -> dict[str, Any]:
        options, network = self._brief.options, self._pipeline.transformer.config
        stg_scale = options["stg_scale"] if network.perturbed_attn else 0.0  # else it would cost a pass for nothing
        return {
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
