"""One held-out caption, made and measured by every row of a table.

Owns what is made; the recipe makes it and the gauges of `models.evaluation` read it. Knows nothing of processes and
of the files in which figures are kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from longtake.ablation import networks
from longtake.ablation.tables import TABLES, Refinement, Table, Variant
from models import catalog
from models.evaluation.cuts import SceneCuts
from models.evaluation.difference import Differences
from models.evaluation.following import held_out_captions, roll_out, score_first_chunk, score_roll_out
from models.evaluation.gauge import Figures, Gauge, measure
from models.evaluation.likeness import Likeness
from models.evaluation.mawe import FlowMagnitude, WarpError
from models.recipe import Recipe
from models.refinement.apart import joints, refine_apart
from models.request import RefineOptions, default_request
from models.shapes.language import Caption
from models.streaming_t2v.anchor import embed_anchor
from models.streaming_t2v.pipeline import StreamingPipeline

MODEL = catalog.find(catalog.DEFAULT_MODEL)


def compare(
    name: str, num_frames: int, steps: int, runs: Path, number: int, variants: Sequence[str]
) -> dict[str, Figures]:
    """Held-out caption `number` as these rows of table `name` make it, with the same seed: its figures by row."""
    table, caption = TABLES[name], held_out_captions(number + 1)[number]
    rows = {}
    for variant in (variant for variant in table.variants if variant.name in variants):
        pipeline = networks.pipeline(runs, variant.stage, variant.model)
        begun = time.process_time()
        preview = preview_of(variant, num_frames, steps, runs, number, caption)
        drawn = time.process_time()
        frames, seams = make(variant, pipeline, caption, number, *preview)
        seconds = {"": drawn - begun, "refined_": time.process_time() - drawn}
        rows[variant.name] = read(table, pipeline, caption, frames, seams, seconds)
    return rows


def previews(
    table: Table, num_frames: int, steps: int, runs: Path, number: int, caption: Caption
) -> Iterator[tuple[str, np.ndarray]]:
    """What each row makes of a caption before any refinement, uint8 [F, H, W, 3], under the row's name."""
    for variant in table.variants:
        yield variant.name, preview_of(variant, num_frames, steps, runs, number, caption)[0]


def preview_of(
    variant: Variant, num_frames: int, steps: int, runs: Path, number: int, caption: Caption
) -> tuple[np.ndarray, list[int]]:
    """A row's frames before any refinement, and those at which its chunks begin."""
    options = tuple(sorted({"steps": steps, **variant.options}.items()))
    return draw(runs, variant.model, variant.stage, variant.recipe, caption, number, num_frames, options)


@lru_cache(maxsize=1)  # rows that only differ in refinement follow each other
def draw(
    runs: Path,
    name: str,
    stage: str | None,
    recipe: tuple[str, str] | None,
    caption: Caption,
    seed: int,
    num_frames: int,
    options: tuple[tuple[str, Any], ...],
) -> tuple[np.ndarray, list[int]]:
    """The preview of a row, uint8 [F, H, W, 3], and the frames at which its chunks begin."""
    pipeline, model = networks.pipeline(runs, stage, name), catalog.find(name).composed(*(recipe or ()))
    sources = {system: networks.source(system) for system in model.systems}
    return roll_out(pipeline, model, caption, num_frames=num_frames, seed=seed, sources=sources, **dict(options))


def make(
    variant: Variant, pipeline: StreamingPipeline, caption: Caption, seed: int, frames: np.ndarray, starts: list[int]
) -> tuple[np.ndarray, list[int]]:
    """A row's video of its preview, uint8 [F, H, W, 3], and the frames at which its pieces begin."""
    if variant.refinement is None:
        return frames, starts
    request = replace(
        default_request(MODEL, str(caption), num_frames=len(frames), seed=seed, refine=True),
        refine=RefineOptions(variant.refine_steps, MODEL.default_refine_strength),
        turbo=variant.refine_turbo,
    )
    recipe = Recipe(pipeline, MODEL, request)
    windows = recipe.refiner().windows
    if variant.refinement is Refinement.BLENDED:
        return recipe.refiner().refine(frames), joints(windows)
    shared = variant.refinement is Refinement.SHARED_NOISE
    return refine_apart(recipe.refiner, frames, windows, seed=seed, shared_noise=shared), joints(windows)


def read(
    table: Table,
    pipeline: StreamingPipeline,
    caption: Caption,
    frames: np.ndarray,
    seams: list[int],
    seconds: dict[str, float],
) -> Figures:
    """The figures of one video that the table shows. seconds: of one core, for its preview and its refinement."""
    gauges: list[Gauge] = [SceneCuts(), Differences(seams)]
    if "clip_anchor_distance" in table.figures:
        gauges.append(Likeness(lambda pixels: embed_anchor(pipeline.image_encoder, pixels)))
    if "flow_std_dis" in table.figures:
        gauges.append(FlowMagnitude())
    if "mawe_dis" in table.figures:
        gauges.append(WarpError())
    first, whole = score_first_chunk(caption, frames[: MODEL.chunk_frames]), score_roll_out(caption, frames, seams)
    figures = {**asdict(first), **asdict(whole), **measure(frames, *gauges)}
    figures |= {f"cpu_seconds_per_{what}frame": taken / len(frames) for what, taken in seconds.items()}
    return {name: figures[name] for name in table.figures}
