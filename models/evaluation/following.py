"""Does the video show what the prompt says, and does it last? Measured by the tracker of the shapes world.

Owns the held-out prompts and the figures; the recipe makes the frames. Knows nothing of commands or files.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch

from models import catalog
from models.evaluation.difference import seam_ratio
from models.evaluation.drift import drift
from models.recipe import Recipe
from models.request import default_request
from models.shapes import tracker, world
from models.shapes.language import Caption

#: Which parts of the method take part in a roll-out.
VARIANTS = {
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
    """One long video; `seam_ratio` is None where it is no longer than a chunk."""

    presence: float
    kept_colour: float
    kept_shape: float
    seam_ratio: float | None
    drift: float | None


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
    return RollOutScore(read.presence, read.kept_colour(actor.colour), fmean(shapes), seam, drift(frames))


def roll_out(
    pipeline: Any, model: catalog.Model, caption: Caption, *, num_frames: int, seed: int, **options: Any
) -> tuple[np.ndarray, list[int]]:
    """A video of a caption as the service's preview shows it, and the frames at which chunks start."""
    request = default_request(model, str(caption), num_frames=num_frames, seed=seed, refine=False)
    made = list(Recipe(pipeline, model, request, **options).generate())
    return np.concatenate([result.frames for _, result in made]), [unit.first_frame for unit, _ in made[1:]]


def evaluate_first_chunks(
    pipeline: Any, model: catalog.Model, count: int, on_done: Callable[[], None]
) -> dict[str, float]:
    """Shares of held-out captions whose first chunk shows what they say."""
    scores = []
    for i, caption in enumerate(held_out_captions(count)):
        frames, _ = roll_out(pipeline, model, caption, num_frames=model.chunk_frames, seed=i)
        scores.append(score_first_chunk(caption, frames))
        on_done()
    return means(scores)


def evaluate_roll_outs(
    pipeline: Any, model: catalog.Model, count: int, num_frames: int, variant: str, on_done: Callable[[], None]
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
