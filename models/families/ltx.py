"""LTX-Video, which goes on from clips: the last frames of a chunk are the first of the next one's.

Source: LTX-Video (arXiv 2501.00103), and the conditioning on clips of its releases from 0.9.5 on. Describes the
checkpoint; what a call is asked, `models.streamers.ltx` knows. Releases with sound are `models.families.ltx2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.families.family import Facts, Family, Habits
from models.model import CatalogError, Size

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer

SIZES = (Size(704, 480), Size(480, 704), Size(768, 512), Size(512, 768), Size(1216, 704))
#: frame_rate: 25 to 30 as the releases were trained. image_cond_noise_scale: noise on the frames that are known, so
#: that motion goes on. decode_*: of VAEs that are told how much noise is left, from 0.9.1 on.
OPTIONS = {
    "chunk_frames": 161,
    "overlap_frames": 25,
    "frame_rate": 25,
    "image_cond_noise_scale": 0.15,
    "decode_timestep": 0.05,
    "decode_noise_scale": 0.025,
}


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """Raises `CatalogError('out_of_range')` for lengths and a frame rate that are none."""
    chunk, overlap = spans(facts, options)
    return Habits(
        fps=options["frame_rate"],
        sizes=SIZES,
        steps=50,
        guidance_scale=3.0,
        chunk_frames=chunk,
        new_frames=chunk - overlap,
        side_of=32,  # the pipeline refuses any other side, whatever the VAE
        negative_prompt="worst quality, inconsistent motion, blurry, jittery, distorted",
    )


def spans(facts: Facts, options: Mapping[str, Any]) -> tuple[int, int]:
    """A chunk of 8k + 1 frames, of which the first `overlap_frames`, 8k + 1 too, are the last of the chunk before.

    The numbers are the VAE's, which makes one latent frame of the first frame and one of each 8 that follow. Raises
    `CatalogError('out_of_range')` for lengths that are none, and for a frame rate outside 1 to 60.
    """
    chunk, overlap = options["chunk_frames"], options["overlap_frames"]
    every = _frames_a_latent(facts)
    for name, frames in (("chunk_frames", chunk), ("overlap_frames", overlap)):
        if frames < 1 or frames % every != 1:
            said = f"{name} is {frames}; this checkpoint makes {every} k + 1 frames."
            raise CatalogError("out_of_range", "set", said)
    if overlap >= chunk:
        said = f"overlap_frames is {overlap} of a chunk's {chunk}: none would be new."
        raise CatalogError("out_of_range", "set", said)
    if not 1 <= options["frame_rate"] <= 60:
        raise CatalogError("out_of_range", "set", f"frame_rate is {options['frame_rate']}; 1 to 60 are possible.")
    return chunk, overlap


def _frames_a_latent(facts: Facts) -> int:
    """How many frames the VAE makes one of, as diffusers' VAEs of LTX-Video and LTX-2 count them."""
    told, halvings = facts.of("vae", "temporal_compression_ratio"), facts.of("vae", "spatio_temporal_scaling")
    if told is not None or halvings is None:
        return int(told or 8)
    return int(facts.of("vae", "patch_size_t", 1) * 2 ** sum(map(bool, halvings)))


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    from models.streamers.ltx import Ltx

    return Ltx(pipeline, brief)


FAMILY = Family(
    name="ltx",
    title="LTX-Video, each chunk from the last frames of the one before",
    pipelines=frozenset({"LTXConditionPipeline"}),
    habits=habits,
    stream=stream,
    inputs=("text", "image"),
    licence="LTX-Video Open Weights Licence",
    options=OPTIONS,
)
