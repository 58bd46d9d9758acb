"""Helios: 33 frames after 33 frames, from all that was, remembered the more coarsely the longer it is past.

Source: Helios (arXiv 2603.04379); diffusers' `HeliosPipeline`. Standard library only until it streams. Helios-Mid and
Helios-Distilled, which draw a chunk small first, are `helios_pyramid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.families.family import Facts, Family, Habits
from models.model import CatalogError, Size

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer

SOLVERS = ("unipc", "euler")


def history_sizes(text: str) -> tuple[int, int, int]:
    """'16,2,1' -> how many latents are remembered coarsely, less coarsely, and as they are. Raises `CatalogError`."""
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        said = f"history_sizes is '{text}'; three numbers from 1 up, the longest past first: 16,2,1."
        raise CatalogError("out_of_range", "set", said)
    long, mid, short = map(int, parts)
    return long, mid, short


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """As Helios-Base was released."""
    history_sizes(options["history_sizes"])
    latents = options["latents_per_chunk"]
    if latents < 1:
        raise CatalogError("out_of_range", "set", f"latents_per_chunk is {latents}; 1 is the least.")
    frames = (latents - 1) * facts.of("vae", "scale_factor_temporal", 4) + 1
    _, high, wide = facts.of("transformer", "patch_size", (1, 2, 2))
    return Habits(
        fps=24,
        sizes=(Size(640, 384), Size(384, 640)),
        steps=50,
        guidance_scale=5.0,
        chunk_frames=frames,
        new_frames=frames,
        side_of=facts.of("vae", "scale_factor_spatial", 8) * max(high, wide),
    )


def refuse(facts: Facts) -> str | None:
    """A schedule in stages is the pyramid's."""
    stages, solver = facts.of("scheduler", "stages", 3), facts.of("scheduler", "scheduler_type", "unipc")
    if stages != 1:
        return f"its scheduler has {stages} stages, and the one of Helios-Base has one."
    if solver not in SOLVERS:
        return f"its scheduler's solver is '{solver}', and only {' and '.join(SOLVERS)} are known."
    return cannot_go_on(facts)


def cannot_go_on(facts: Facts) -> str | None:
    """Helios' network can be built without a memory."""
    if not facts.of("transformer", "has_multi_term_memory_patch", True):
        return "its network has no patches for the past, so no chunk could go on from another."
    return None


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    """What makes the chunks of one video."""
    from models.streamers.helios import Helios

    return Helios(pipeline, brief)


FAMILY = Family(
    name="helios",
    title="Helios",
    pipelines=frozenset({"HeliosPipeline"}),
    habits=habits,
    stream=stream,
    inputs=("text", "image"),
    licence="Apache-2.0",
    options={"history_sizes": "16,2,1", "latents_per_chunk": 9},
    refuse=refuse,
)
