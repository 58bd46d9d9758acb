"""Reads a video of the shapes world back from its pixels: presence, place, colour, shape, motion.

An instrument, exact on drawn video (see its tests). One actor; knows the world, and nothing of how a video was made.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from models.shapes.language import BACKGROUNDS, COLOURS, MOTIONS, SHAPES
from models.shapes.world import FIRST_CHUNK, RADIUS, RGB, STEP, coverage

DIFFERENT = 0.2  # how far from the background a pixel must be, in its strongest channel (0 to 1)
SMALLEST = 0.4  # share of the smallest actor's area below which nothing is there
MOVES = 0.5 * STEP["slowly"]  # steps below this are standing still
QUICK = (STEP["slowly"] + STEP["quickly"]) / 2


@dataclass(frozen=True, slots=True)
class Sighting:
    """The actor in one frame; place in units of the frame's side."""

    x: float
    y: float
    colour: str
    shape: str


@dataclass(frozen=True, slots=True)
class Track:
    """One video as the tracker reads it; `sightings` holds None for frames with no actor in them."""

    sightings: list[Sighting | None]
    background: str

    @property
    def presence(self) -> float:
        """Share of frames with an actor."""
        return sum(s is not None for s in self.sightings) / len(self.sightings)

    @property
    def colour(self) -> str | None:
        return _most_common([s.colour for s in self.sightings if s])

    @property
    def shape(self) -> str | None:
        return _most_common([s.shape for s in self.sightings if s])

    def kept_colour(self, colour: str) -> float:
        """Share of all frames in which the actor is there and has that colour."""
        return sum(s is not None and s.colour == colour for s in self.sightings) / len(self.sightings)

    def step(self, frames: range = range(FIRST_CHUNK)) -> tuple[float, float]:
        """Mean step per frame (x, y), by least squares over the frames."""
        seen = [(f, s) for f in frames if f < len(self.sightings) and (s := self.sightings[f])]
        if len(seen) < 2:
            return 0.0, 0.0
        t = torch.tensor([float(f) for f, _ in seen])
        places = torch.tensor([[s.x, s.y] for _, s in seen])
        t = t - t.mean()
        x, y = ((t.unsqueeze(1) * places).sum(0) / t.square().sum()).tolist()
        return x, y

    @property
    def motion(self) -> str:
        """The words of the motion in the first chunk."""
        unit = tuple(int(v > MOVES) - int(v < -MOVES) for v in self.step())
        return next(name for name, step in MOTIONS.items() if step == unit)

    @property
    def speed(self) -> str | None:
        """'slowly' or 'quickly' in the first chunk; None when it stands still."""
        fastest = max(abs(v) for v in self.step())
        if fastest <= MOVES:
            return None
        return "quickly" if fastest > QUICK else "slowly"


def track(frames: Tensor) -> Track:
    """Read a video, uint8 [F, H, W, 3] with H = W."""
    pictures = frames.float() / 255
    background = pictures.flatten(0, 2).median(0).values
    name = min(BACKGROUNDS, key=lambda b: (torch.tensor(RGB[b]) - background).square().sum().item())
    return Track([_sight(picture) for picture in pictures], name)


def _sight(picture: Tensor) -> Sighting | None:  # [H, W, 3] in [0, 1]
    side = picture.shape[0]
    ground = picture.flatten(0, 1).median(0).values
    strength = (picture - ground).abs().amax(-1)
    cover = ((strength - DIFFERENT / 2) / DIFFERENT).clamp(0, 1)
    if cover.sum() < SMALLEST * torch.pi * (RADIUS["small"] * side) ** 2:
        return None
    places = (torch.arange(side) + 0.5) / side
    x = ((cover.sum(0) * places).sum() / cover.sum()).item()
    y = ((cover.sum(1) * places).sum() / cover.sum()).item()
    return Sighting(x, y, _colour(picture, places, x, y), _shape(cover, places, x, y))


def _colour(picture: Tensor, places: Tensor, x: float, y: float) -> str:
    near = torch.hypot(places.view(1, -1) - x, places.view(-1, 1) - y) < RADIUS["small"] / 2
    core = picture[near].median(0).values
    return min(COLOURS, key=lambda c: (torch.tensor(RGB[c]) - core).square().sum().item())


def _shape(cover: Tensor, places: Tensor, x: float, y: float) -> str:
    """The shape whose drawing overlaps most, over sizes and a little play in place (borders cut actors off)."""
    play = torch.tensor([-2.0, 0.0, 2.0]) / 64
    dx = places.view(1, 1, 1, -1) - x - play.view(1, -1, 1, 1)
    dy = places.view(1, 1, -1, 1) - y - play.view(-1, 1, 1, 1)
    dx, dy = dx.expand(3, 3, *cover.shape), dy.expand(3, 3, *cover.shape)

    def overlap(shape: str) -> float:
        best = 0.0
        for radius in RADIUS.values():
            drawn = coverage(shape, dx, dy, radius, len(places))
            both, either = torch.minimum(drawn, cover).sum((-1, -2)), torch.maximum(drawn, cover).sum((-1, -2))
            best = max(best, (both / either).max().item())
        return best

    return max(SHAPES, key=overlap)


def _most_common(words: list[str]) -> str | None:
    return Counter(words).most_common(1)[0][0] if words else None
