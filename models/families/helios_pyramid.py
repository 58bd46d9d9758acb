"""Helios-Mid and Helios-Distilled: as Helios, each chunk drawn at a quarter of its sides, then half, then whole.

Source: Helios (arXiv 2603.04379), pyramid unified predictor corrector and adversarial hierarchical distillation;
diffusers' `HeliosPyramidPipeline`. Standard library only until it streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from models.families import helios
from models.families.family import Facts, Habits

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer

DISTILLED = "HeliosDMDScheduler"


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """As Helios-Distilled was released, whose guidance is in its weights, or as Helios-Mid was."""
    base, stages = helios.habits(facts, options), _stages(facts)
    whole = replace(base, side_of=base.side_of * 2 ** (stages - 1))
    if facts.index.get("is_distilled"):
        return replace(whole, steps=2 * stages, guidance_scale=1.0, max_guidance_scale=1.0)
    return replace(whole, steps=20 * stages)


def steps_of(steps: int, stages: int) -> list[int]:
    """How many of a chunk's steps each stage takes: equally many, of the rest the first ones one more; one at least."""
    return [max(1, (steps + stages - 1 - stage) // stages) for stage in range(stages)]


def refuse(facts: Facts) -> str | None:
    """What was distilled has a schedule of its own, and nothing else has it."""
    solver = (facts.index.get("scheduler") or [None, "HeliosScheduler"])[1]
    if (solver == DISTILLED) != bool(facts.index.get("is_distilled")):
        return f"its scheduler is {solver}, and {DISTILLED} is for distilled weights and for no others."
    if _stages(facts) < 2:
        return "its scheduler has one stage, which is no pyramid: Helios-Base is streamed as a HeliosPipeline."
    return helios.cannot_go_on(facts)


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    """What makes the chunks of one video."""
    from models.streamers.helios_pyramid import HeliosPyramid

    return HeliosPyramid(pipeline, brief)


def _stages(facts: Facts) -> int:
    return int(facts.of("scheduler", "stages", 3))


FAMILY = replace(
    helios.FAMILY,
    name="helios-pyramid",
    title="Helios with a pyramid",
    pipelines=frozenset({"HeliosPyramidPipeline"}),
    habits=habits,
    stream=stream,
    options={**helios.FAMILY.options, "amplify_first_chunk": True},
    refuse=refuse,
)
