"""Does a video keep what its picture shows? Read by the tracker of the shapes world, from both.

Owns the figure and the pictures it is measured on; knows nothing of how a video was made.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch

from models.shapes import tracker, world
from models.shapes.language import Caption


@dataclass(frozen=True, slots=True)
class PictureScore:
    """Whether a video's actor has the picture's colour and shape, on its background, and is there (share of frames).

    near: the distance from the picture's actor to the video's where that comes nearest, in sides of the frame; None
    where one of them shows no actor.
    """

    colour: bool
    shape: bool
    background: bool
    presence: float
    near: float | None


def held_out_pictures(count: int, seed: int = 11, size: int = 64) -> list[tuple[Caption, np.ndarray]]:
    """Captions with one actor that were never trained on, each with a frame of what it says, uint8 [size, size, 3]."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        caption = world.sample_caption(rng, kept_out=True)
        (picture,) = world.draw(world.scene(caption, rng), [rng.randrange(world.FIRST_CHUNK)], size)
        made.append((caption, ((picture.movedim(0, -1) + 1) * 127.5).round().byte().numpy()))
    return made


def score_picture(picture: np.ndarray, frames: np.ndarray) -> PictureScore:
    """A video, uint8 [F, H, W, 3], against the picture, uint8 [H, W, 3], that it was made from."""
    shown, read = tracker.track(torch.from_numpy(picture[None])), tracker.track(torch.from_numpy(frames))
    (there,) = shown.sightings
    away = [float(np.hypot(s.x - there.x, s.y - there.y)) for s in read.sightings if s and there]
    return PictureScore(
        colour=read.colour == shown.colour,
        shape=read.shape == shown.shape,
        background=read.background == shown.background,
        presence=read.presence,
        near=min(away, default=None),
    )
