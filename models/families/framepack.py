"""FramePack-F1: a picture goes on section by section, each from all latents before it, packed the smaller the older.

Source: FramePack (arXiv 2504.12626) and its forward release, FramePack-F1 (2025-05-03). Describes the checkpoint; what
a section is made of, `models.streamers.framepack` knows.

The release is only a transformer, lllyasviel/FramePack_F1_I2V_HY_20250503: saved in one folder with the VAE and the
text encoders of hunyuanvideo-community/HunyuanVideo and the SigLIP of lllyasviel/flux_redux_bfl (`save_pretrained` of
`HunyuanVideoFramepackPipeline`) it is a checkpoint. The first release, FramePackI2V_HY, has the same configuration but
was trained to make a video from its end; nothing in a checkpoint tells them apart, and streamed it drifts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.families.family import Facts, Family, Habits
from models.model import CatalogError, Size

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer

SIZES = (Size(832, 480), Size(480, 832), Size(640, 640), Size(704, 544), Size(544, 704))  # areas near 640 x 640
OPTIONS = {"latent_window_size": 9, "true_cfg_scale": 1.0}


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """A chunk is a section of `latent_window_size` latent frames. Raises `CatalogError('out_of_range')`.

    A section's decoding is blended over all its frames but those of its first latent with what the section before
    showed there, so the end of what is decoded is never given out: one latent's frames at first, then a section's.
    guidance_scale is what the distilled network is told; true_cfg_scale above 1 is guidance proper, against a negative
    prompt, for twice the time.
    """
    window = options["latent_window_size"]
    if window < 1:
        said = f"latent_window_size is {window}; a section has 1 latent frame or more."
        raise CatalogError("out_of_range", "set", said)
    frames_a_latent = int(facts.of("vae", "temporal_compression_ratio", 4))
    return Habits(
        fps=30,
        sizes=SIZES,
        steps=30,
        guidance_scale=9.0,
        chunk_frames=frames_a_latent,
        new_frames=frames_a_latent * window,
        side_of=int(facts.of("vae", "spatial_compression_ratio", 8) * facts.of("transformer", "patch_size", 2)),
    )


def refuse(facts: Facts) -> str | None:
    """Of a transformer that reads no history or no picture, as HunyuanVideo's own."""
    for entry, what in (("has_clean_x_embedder", "no history"), ("has_image_proj", "no picture")):
        if not facts.of("transformer", entry, False):
            return f"its transformer reads {what} ({entry} is not set), so it is none of FramePack's."
    return None


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    from models.streamers.framepack import FramePack

    return FramePack(pipeline, brief)


FAMILY = Family(
    name="framepack",
    title="FramePack-F1, section by section from a picture",
    pipelines=frozenset({"HunyuanVideoFramepackPipeline"}),
    habits=habits,
    stream=stream,
    inputs=("image",),
    licence="Apache-2.0 for FramePack; weights from HunyuanVideo: Tencent Hunyuan Community Licence",
    options=OPTIONS,
    refuse=refuse,
)
