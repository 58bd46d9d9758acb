"""The shapes world: scenes drawn on the fly, as exact video of any length and size.

Owns geometry, motion and paint; a scene is described by a `language.Caption`. Knows nothing of networks.
Lengths are in units of the frame's side (0 to 1), time is in frames at `FPS`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.shapes.language import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, SIZES, SPEEDS, Actor, Caption

FPS = 8
FIRST_CHUNK = 16  # frames for which a caption's motion words hold: nothing bounces before

RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.12, 0.14), "green": (0.13, 0.75, 0.20), "blue": (0.16, 0.35, 0.95),
    "yellow": (0.97, 0.88, 0.15), "magenta": (0.90, 0.20, 0.85), "cyan": (0.15, 0.85, 0.90),
    "orange": (0.98, 0.55, 0.10), "white": (0.97, 0.97, 0.97),
    "black": (0.03, 0.03, 0.03), "grey": (0.35, 0.35, 0.35), "navy": (0.06, 0.07, 0.32), "brown": (0.36, 0.20, 0.09),
}  # fmt: skip
RADIUS = {"small": 8 / 64, None: 11 / 64, "large": 14 / 64}
STEP = {"slowly": 1 / 64, "quickly": 2.25 / 64}  # per frame and axis
#: Corners, corner radius and inner radius (both over the nominal radius), and the angle of the first corner.
_POLYGONS = {
    "square": (4, 1.25, 1.25 * math.cos(math.pi / 4), math.pi / 4),
    "triangle": (3, 1.45, 1.45 * math.cos(math.pi / 3), -math.pi / 2),
    "star": (5, 1.45, 0.62, -math.pi / 2),
}


def held_out(actor: Actor) -> bool:
    """Whether this colour x shape x direction is kept out of training (one triple in seven; every pair is seen)."""
    at = COLOURS.index(actor.colour) + 2 * SHAPES.index(actor.shape) + 3 * list(MOTIONS).index(actor.motion)
    return at % 7 == 0


@dataclass(frozen=True, slots=True)
class Body:
    """Where one actor starts and how it moves: position and step per frame, (x, y)."""

    actor: Actor
    start: tuple[float, float]
    step: tuple[float, float]

    @property
    def radius(self) -> float:
        return RADIUS[self.actor.size]

    def centre(self, frame: float) -> tuple[float, float]:
        """The centre at a frame (between two, too); the path is folded at the borders, which is an elastic bounce."""
        x, y = (_fold(s + v * frame, self.radius) for s, v in zip(self.start, self.step, strict=True))
        return x, y


@dataclass(frozen=True, slots=True)
class Scene:
    """A caption made definite: what `draw` needs."""

    caption: Caption
    bodies: tuple[Body, ...]


def scene(caption: Caption, rng: random.Random) -> Scene:
    """Choose starts, and speeds where the caption leaves them open, so that the words hold for the first chunk."""
    return Scene(caption, tuple(_body(actor, rng) for actor in caption.actors))


def sample_caption(rng: random.Random, *, kept_out: bool = False, pairs: float = 0.0, sized: float = 0.25) -> Caption:
    """A random caption; `kept_out` chooses from the held-out triples instead.

    pairs: the share with two actors; sized: the share of actors that are said to be small or large.
    """
    actors = tuple(_sample_actor(rng, kept_out, sized) for _ in range(2 if rng.random() < pairs else 1))
    return Caption(actors, rng.choice(BACKGROUNDS))


def draw(scene: Scene, frames: Sequence[float], size: int, box: tuple[int, int, int] | None = None) -> Tensor:
    """Frames of a scene, [F, 3, size, size] in [-1, 1].

    `box` (left, top, side) draws only that square of the picture, still at the scale of `size`.
    """
    left, top, side = box or (0, 0, size)
    xs = (torch.arange(left, left + side) + 0.5) / size
    ys = (torch.arange(top, top + side) + 0.5) / size
    picture = torch.tensor(RGB[scene.caption.background]).view(1, 3, 1, 1).expand(len(frames), 3, side, side)
    for body in scene.bodies:
        centres = torch.tensor([body.centre(frame) for frame in frames])  # [F, 2]
        dx = xs.view(1, 1, -1) - centres[:, 0].view(-1, 1, 1)
        dy = ys.view(1, -1, 1) - centres[:, 1].view(-1, 1, 1)
        cover = coverage(body.actor.shape, dx, dy, body.radius, size).unsqueeze(1)  # [F, 1, H, W]
        picture = picture + cover * (torch.tensor(RGB[body.actor.colour]).view(1, 3, 1, 1) - picture)
    return picture * 2 - 1


def coverage(shape: str, dx: Tensor, dy: Tensor, radius: float, size: int) -> Tensor:
    """How much of each pixel a shape covers (0 to 1), from its signed distance; one pixel of anti-aliasing."""
    if shape == "circle":
        distance = torch.hypot(dx, dy) - radius
    else:
        corners, outer, inner, first = _POLYGONS[shape]
        sector = math.pi / corners
        angle = torch.remainder(torch.atan2(dy, dx) - first + sector, 2 * sector) - sector
        reach = torch.hypot(dx, dy)
        px, py = (
            reach * angle.cos(),
            (reach * angle.sin()).abs(),
        )  # folded onto half a sector, corner on the x axis
        ax, bx, by = outer * radius, inner * radius * math.cos(sector), inner * radius * math.sin(sector)
        nx, ny = by, ax - bx  # normal of the edge from the corner (ax, 0) to the notch (bx, by)
        distance = ((px - ax) * nx + py * ny) / math.hypot(nx, ny)
    return (0.5 - distance * size).clamp(0, 1)


def _fold(position: float, margin: float) -> float:
    room = 1 - 2 * margin
    along = (position - margin) % (2 * room)
    return margin + (along if along <= room else 2 * room - along)


def _sample_actor(rng: random.Random, kept_out: bool, sized: float) -> Actor:
    size = rng.choice(SIZES) if rng.random() < sized else None
    while True:
        motion = rng.choice(list(MOTIONS))
        speed = rng.choice(SPEEDS) if motion != "staying still" and rng.random() < 0.85 else None
        actor = Actor(rng.choice(COLOURS), rng.choice(SHAPES), motion, size, speed)
        if held_out(actor) == kept_out:
            return actor


def _body(actor: Actor, rng: random.Random) -> Body:
    speed = STEP[actor.speed or rng.choice(SPEEDS)]
    step = tuple(unit * speed for unit in MOTIONS[actor.motion])
    margin, travel = RADIUS[actor.size], speed * (FIRST_CHUNK - 1)
    room = {0: (margin, 1 - margin), 1: (margin, 1 - margin - travel), -1: (margin + travel, 1 - margin)}
    start = tuple(rng.uniform(*room[unit]) for unit in MOTIONS[actor.motion])
    return Body(actor, (start[0], start[1]), (step[0], step[1]))
