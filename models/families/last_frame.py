"""Any image-to-video pipeline whose release is known, continued from the last frame that it made.

Source: the comparisons of StreamingT2V (arXiv 2403.14773) section 5. How each kind of pipeline was released,
`models.releases` knows; what a call is asked, `models.streamers.last_frame`. A checkpoint of its text-to-video sibling
(`text_weights`) draws the first chunk where no picture is given; all of it is held beside the first one's networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.families.family import Facts, Family, Habits
from models.model import CatalogError
from models.releases import PICTURES, find

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """Those of the release; chunk_frames and fps of the options where they are not 0. A first chunk is a call's
    frames, later ones lack the first, which repeats the picture. Raises `CatalogError('out_of_range')`.
    """
    release = find(PICTURES, facts)
    assert release is not None, "else no such checkpoint is of the family"
    frames = options["chunk_frames"] or release.frames
    if frames < 2 or frames % release.every != release.rest % release.every:
        said = f"chunk_frames is {frames}; {facts.pipeline} makes {release.every} k + {release.rest}, 2 or more."
        raise CatalogError("out_of_range", "set", said)
    return Habits(
        fps=options["fps"] or release.fps,
        sizes=release.sizes,
        steps=release.steps,
        guidance_scale=release.guidance_scale,
        chunk_frames=frames,
        new_frames=frames - 1,
        side_of=release.side_of,
        negative_prompt=release.negative_prompt,
        inputs=("text", "image") if options["text_weights"] else ("image",),
    )


def refuse(facts: Facts) -> str | None:
    """Of HunyuanVideo's first release, after whose picture frames are missing: no frame could be gone on from."""
    if facts.of("transformer", "image_condition_type") == "latent_concat":
        return "its pipeline throws away the four frames after the picture (latent_concat); take a later release."
    return None


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    from models.streamers.last_frame import LastFrame

    release = next(release for release in PICTURES if release.pipeline == type(pipeline).__name__)
    return LastFrame(pipeline, brief, release)


FAMILY = Family(
    name="last-frame",
    title="Pictures set in motion from the last frame on",
    pipelines=frozenset(release.pipeline for release in PICTURES),
    habits=habits,
    stream=stream,
    inputs=("image",),
    options={"chunk_frames": 0, "fps": 0, "text_weights": ""},
    beside="text_weights",
    refuse=refuse,
)
