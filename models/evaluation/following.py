"""Does the video show what the prompt says, and does it last? Measured by the tracker of the shapes world.

Owns the held-out prompts and the figures; the recipe makes the frames. Knows nothing of commands or files.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import torch

from models.evaluation.difference import seam_ratio
from models.evaluation.drift import drift
from models.first_chunk.source import Source
from models.model import Model
from models.recipe import Recipe
from models.request import default_request
from models.shapes import tracker, world
from models.shapes.language import Caption

#: Which parts of the method take part in a roll-out.
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "without CAM": {"use_cam": False, "hold_known_frames": False},
    "without APM": {"use_apm": False},
}


def held_out_captions(count: int, seed: int = 7) -> list[Caption]:
    """Captions with one actor whose colour x shape x direction was never trained on."""
    rng = random.Random(seed)
    return [world.sample_caption(rng, kept_out=True) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class FirstChunkScore:
    """One first chunk against its caption. `speed` is None where the caption leaves it open."""

    colour: bool
    shape: bool
    background: bool
    direction: bool
    speed: bool | None
    presence: float


@dataclass(frozen=True, slots=True)
class RollOutScore:
    """One long video; `seam_ratio` is None where it is no longer than a chunk.

    motion: how far the actor goes from a frame to the next, in percent of the frame's side; None where it is not seen.
    """

    presence: float
    kept_colour: float
    kept_shape: float
    seam_ratio: float | None
    drift: float | None
    motion: float | None = None


def score_first_chunk(caption: Caption, frames: np.ndarray) -> FirstChunkScore:
    (actor,) = caption.actors
    read = tracker.track(torch.from_numpy(frames))
    return FirstChunkScore(
        colour=read.colour == actor.colour,
        shape=read.shape == actor.shape,
        background=read.background == caption.background,
        direction=read.motion == actor.motion,
        speed=read.speed == actor.speed if actor.speed or actor.motion == "staying still" else None,
        presence=read.presence,
    )


def score_roll_out(caption: Caption, frames: np.ndarray, chunk_starts: list[int]) -> RollOutScore:
    (actor,) = caption.actors
    read = tracker.track(torch.from_numpy(frames))
    shapes = [s is not None and s.shape == actor.shape for s in read.sightings]
    seam = seam_ratio(frames, chunk_starts)
    kept = read.kept_colour(actor.colour), fmean(shapes)
    return RollOutScore(read.presence, *kept, seam, drift(frames), motion(read))


def motion(read: tracker.Track) -> float | None:
    """How far the actor goes from a frame to the next, in percent of the frame's side, on average."""
    pairs = [(one, other) for one, other in pairwise(read.sightings) if one and other]
    return fmean(100 * math.dist((one.x, one.y), (other.x, other.y)) for one, other in pairs) if pairs else None


def roll_out(
    pipeline: Any,
    model: Model,
    caption: Caption,
    *,
    num_frames: int,
    seed: int,
    steps: int | None = None,
    sources: Mapping[str, Source] | None = None,
    **ablation: Any,
) -> tuple[np.ndarray, list[int]]:
    """A video of a caption as the service's preview shows it, and the frames at which chunks start.

    steps: of every chunk, by default those of the model and of each of its systems. sources, ablation: as for `Recipe`.
    """
    request = default_request(model, str(caption), num_frames=num_frames, seed=seed, refine=False)
    if steps is not None:
        request = replace(request, steps=steps)
    made = list(Recipe(pipeline, model, request, sources, **ablation).generate())
    return np.concatenate([result.frames for _, result in made]), [unit.first_frame for unit, _ in made[1:]]


def evaluate_first_chunks(pipeline: Any, model: Model, count: int, on_done: Callable[[], None]) -> dict[str, float]:
    """Shares of held-out captions whose first chunk shows what they say."""
    scores = []
    for i, caption in enumerate(held_out_captions(count)):
        frames, _ = roll_out(pipeline, model, caption, num_frames=model.chunk_frames, seed=i)
        scores.append(score_first_chunk(caption, frames))
        on_done()
    return means(scores)


def evaluate_roll_outs(
    pipeline: Any, model: Model, count: int, num_frames: int, variant: str, on_done: Callable[[], None]
) -> dict[str, float]:
    """Means over roll-outs of held-out captions, with the parts of the method that `variant` leaves in."""
    scores = []
    for i, caption in enumerate(held_out_captions(count)):
        made = roll_out(pipeline, model, caption, num_frames=num_frames, seed=i, **VARIANTS[variant])
        scores.append(score_roll_out(caption, *made))
        on_done()
    return means(scores)


def means(scores: list[Any]) -> dict[str, float]:
    """Mean of every field over the scores that have it; fields that none has are left out."""

    def values(name: str) -> list[float]:
        return [float(value) for score in scores if (value := getattr(score, name)) is not None]

    return {name: fmean(values(name)) for name in scores[0].__slots__ if values(name)}
