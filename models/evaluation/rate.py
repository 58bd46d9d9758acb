"""Does a network that is told the frames a second keep to them? The same prompts at two rates, read by the tracker.

Owns the figure; whoever asks makes the frames. Knows the shapes world, and nothing of networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from models.shapes import tracker, world
from models.shapes.language import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, Actor, Caption

Draw = Callable[[Caption, int, float], np.ndarray]  # (caption, seed, frames a second) -> uint8 [F, H, W, 3], F = 16


@dataclass(frozen=True, slots=True)
class RateScore:
    """Mean steps from frame to frame, in sides of the frame, at the lower and at the higher rate; `ratio` of the two.

    Ideal is the higher rate over the lower one: 4 from 4 to 16 frames a second. None where nothing moves.
    """

    slow_step: float
    fast_step: float

    @property
    def ratio(self) -> float | None:
        return self.slow_step / self.fast_step if self.fast_step else None


def slow_movers(count: int) -> list[Caption]:
    """Captions of actors on their way, slowly, all of them held out of training; the same for the same count.

    Slow, for even the lower rate must leave an actor room for some frames.
    """
    actors = [
        Actor(colour, shape, motion, None, "slowly")
        for motion in MOTIONS
        if motion != "staying still"
        for colour in COLOURS
        for shape in SHAPES
    ]
    kept_out = [actor for actor in actors if world.held_out(actor)]
    every = max(1, len(kept_out) // count)
    return [Caption((actor,), BACKGROUNDS[i % len(BACKGROUNDS)]) for i, actor in enumerate(kept_out[::every][:count])]


def score_rates(draw: Draw, captions: Sequence[Caption], slow: float = 4, fast: float = 16) -> RateScore:
    """Every caption drawn at both rates, from the same noise."""
    means = [fmean(step(draw(caption, i, fps), fps) for i, caption in enumerate(captions)) for fps in (slow, fast)]
    return RateScore(*means)


def step(frames: np.ndarray, fps: float) -> float:
    """How far the actor goes from one frame to the next, by least squares over the frames in which nothing bounces."""
    honest = range(math.floor((world.FIRST_CHUNK - 1) * fps / world.FPS) + 1)
    return math.hypot(*tracker.track(torch.from_numpy(frames)).step(honest))
