"""Does a changed clip show what it was to show, and is the rest, above all the motion, as it was?

Measured by the tracker of the shapes world on clips that it draws. Owns the held-out clips, their instructions and the
figures; knows nothing of how a clip is changed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from models.evaluation.following import held_out_captions, means
from models.shapes import tracker, world
from models.shapes.instruction import CHANGES, Instruction
from models.shapes.instruction import changed as changed_caption

FRAMES, SIDE = 16, 128


@dataclass(frozen=True, slots=True)
class EditScore:
    """One edited clip.

    changed: what the instruction names is as it says. kept: the share of the rest (of colour, shape, background, size)
    that is as it was. presence: share of frames with an actor. trajectory_error: mean distance of the actor's centre
    from where it was, in % of the frame's side; None where it was never seen.
    """

    changed: bool
    kept: float
    presence: float
    trajectory_error: float | None


@dataclass(frozen=True, slots=True)
class Case:
    """A clip of one actor, the scene that it shows, and what is to become of it."""

    scene: world.Scene
    frames: np.ndarray  # uint8 [F, H, W, 3]
    instruction: Instruction

    @property
    def caption(self) -> str:
        """What is to be seen in the end."""
        return str(changed_caption(self.scene.caption, self.instruction))


Edit = Callable[[Case], np.ndarray]  # -> the changed clip, uint8 [F, H, W, 3]


def cases(
    count: int, *, frames: int = FRAMES, seed: int = 11, changes: Sequence[str] = tuple(CHANGES)
) -> Iterator[Case]:
    """Clips of held-out captions, with those changes in turn; none is one already."""
    rng = random.Random(seed)
    for i, caption in enumerate(held_out_captions(count, seed)):
        what = changes[i % len(changes)]
        (actor,) = caption.actors
        is_now = caption.background if what == "background" else getattr(actor, what)
        into = rng.choice([value for value in CHANGES[what] if value != is_now])
        scene = world.scene(caption, rng)
        yield Case(scene, drawn(scene, frames), Instruction(what, into))


def drawn(scene: world.Scene, frames: int) -> np.ndarray:
    """The first frames of a scene, uint8 [F, SIDE, SIDE, 3]."""
    pixels = world.draw(scene, range(frames), SIDE)
    return ((pixels.movedim(1, -1) + 1) * 127.5).round().byte().numpy()


def evaluate_edits(
    edit: Edit,
    count: int,
    on_done: Callable[[], None] = lambda: None,
    *,
    frames: int = FRAMES,
    changes: Sequence[str] = tuple(CHANGES),
) -> dict[str, dict[str, float]]:
    """Means of the scores for each kind of change, and for all of them."""
    scores: dict[str, list[EditScore]] = {"all": []}
    for case in cases(count, frames=frames, changes=changes):
        score = score_edit(case, edit(case))
        for kind in (case.instruction.what, "all"):
            scores.setdefault(kind, []).append(score)
        on_done()
    return {kind: means(some) for kind, some in scores.items()}


def score_edit(case: Case, edited: np.ndarray) -> EditScore:  # uint8 [F, H, W, 3]
    """The edited clip against the clip that was drawn."""
    before, after = (tracker.track(torch.from_numpy(frames)) for frames in (case.frames, edited))
    shown = _attributes(after, edited)
    as_was = {name: shown[name] == was for name, was in _attributes(before, case.frames).items()}
    what, into = case.instruction.what, case.instruction.into
    kept = fmean(same for name, same in as_was.items() if name != what)
    return EditScore(shown[what] == into, kept, after.presence, trajectory_error(before, after))


def trajectory_error(before: tracker.Track, after: tracker.Track) -> float | None:
    """Mean distance of the actor's centres over the frames that both show it in, in % of the frame's side."""
    both = zip(before.sightings, after.sightings, strict=True)
    away = [math.dist((a.x, a.y), (b.x, b.y)) for a, b in both if a and b]
    return 100 * fmean(away) if away else None


def _attributes(track: tracker.Track, frames: np.ndarray) -> dict[str, str | None]:
    size = apparent_size(frames, track.shape) if track.shape else "none to see"
    return {"colour": track.colour, "shape": track.shape, "background": track.background, "size": size}


def apparent_size(frames: np.ndarray, shape: str) -> str | None:  # uint8 [F, H, W, 3], H = W
    """The size whose drawing of that shape covers as many pixels; of the frames, the one in the middle."""
    pictures = torch.from_numpy(frames).float() / 255
    ground = pictures.flatten(1, 2).median(1).values.view(-1, 1, 1, 3)
    covered = ((pictures - ground).abs().amax(-1) > tracker.DIFFERENT).float().mean((1, 2)).median()
    side = frames.shape[1]
    away = (torch.arange(side) + 0.5) / side - 0.5

    def share(radius: float) -> float:
        return world.coverage(shape, away.view(1, -1), away.view(-1, 1), radius, side).mean().item()

    return min(world.RADIUS, key=lambda size: abs(math.sqrt(share(world.RADIUS[size])) - math.sqrt(covered)))
