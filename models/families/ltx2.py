"""LTX-2, which goes on from clips as LTX-Video does, and makes the sound of what it shows.

Source: LTX-2 (arXiv 2601.03233), its releases 2.0 and 2.3. Describes the checkpoint; what a call is asked,
`models.streamers.ltx2` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.families import ltx
from models.families.family import Facts, Family, Habits
from models.model import Size

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer

SIZES = (Size(768, 512), Size(512, 768), Size(704, 480), Size(480, 704), Size(1216, 704))
#: frame_rate: 24, 25, 30 and 60 as it was trained. audio_guidance_scale: of the sound; a request's is of the pictures.
#: stg_scale: away from what it makes where the transformer's block `stg_block` pays no attention, 0 for none.
#: modality_scale: away from pictures and sound that know nothing of each other, 1 for none. Both cost one more pass a
#: step. guidance_rescale: how far loudness and contrast go back to those without guidance.
OPTIONS = {
    "chunk_frames": 121,
    "overlap_frames": 25,
    "frame_rate": 24,
    "audio_guidance_scale": 7.0,
    "stg_scale": 1.0,
    "stg_block": 28,
    "modality_scale": 3.0,
    "guidance_rescale": 0.7,
}


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """As the pipeline's own defaults. Raises `CatalogError('out_of_range')` for lengths and a rate that are none."""
    chunk, overlap = ltx.spans(facts, options)
    return Habits(
        fps=options["frame_rate"],
        sizes=SIZES,
        steps=30,
        guidance_scale=3.0,
        chunk_frames=chunk,
        new_frames=chunk - overlap,
        side_of=32,  # the pipeline refuses any other side, whatever the VAE
        sound_rate=facts.of("vocoder", "output_sampling_rate", 24000),
        negative_prompt="worst quality, inconsistent motion, blurry, jittery, distorted, static",
    )


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    from models.streamers.ltx2 import Ltx2

    return Ltx2(pipeline, brief)


FAMILY = Family(
    name="ltx2",
    title="LTX-2, each chunk from the last frames of the one before, with sound",
    pipelines=frozenset({"LTX2Pipeline", "LTX2ImageToVideoPipeline", "LTX2ConditionPipeline"}),
    habits=habits,
    stream=stream,
    inputs=("text", "image"),
    licence="LTX-2 Community License",
    options=OPTIONS,
)
