"""The rows of a table as pictures: some frames of each row's video of one caption, and its X-T slice beside them.

Owns the picture's layout and whose row of pixels the slices show; what is made is `video`'s.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from longtake.ablation import video
from longtake.ablation.tables import TABLES
from longtake.evaluation.contact_sheet import titled
from models.evaluation.following import held_out_captions
from models.evaluation.gauge import measure
from models.evaluation.slices import XTSlice
from models.shapes import tracker

SHOWN = 6  # frames of a row
TIMES = 2  # so many pixels of the picture for one of a frame
ACROSS = ("moving left", "moving right")  # motions that stay on one row of pixels


def sheet(name: str, num_frames: int, steps: int, runs: Path) -> tuple[str, Image.Image]:
    """The first held-out caption whose actor moves across, and what every row of table `name` makes of it."""
    captions = ((number, held_out_captions(number + 1)[number]) for number in itertools.count())
    number, caption = next((n, held_out) for n, held_out in captions if held_out.actors[0].motion in ACROSS)
    made = video.previews(TABLES[name], num_frames, steps, runs, number, caption)
    return str(caption), Image.fromarray(np.concatenate([titled(row, strip(frames)) for row, frames in made]))


def strip(frames: np.ndarray) -> np.ndarray:  # uint8 [F, H, W, 3]
    """Frames over the whole length, and at the right the slice at the height at which the actor began."""
    seen = tracker.track(torch.from_numpy(frames)).sightings
    gauge = XTSlice(next((sighting.y for sighting in seen if sighting), 0.5))
    measure(frames, gauge)
    slice_ = np.asarray(
        gauge.picture().resize((TIMES * frames.shape[2], TIMES * len(frames)), Image.Resampling.NEAREST)
    )
    shown = [large(frames[i]) for i in np.linspace(0, len(frames) - 1, SHOWN).round().astype(int)]
    height = max(len(slice_), len(shown[0]))
    return np.concatenate([on_white(picture, height) for picture in (*shown, slice_)], axis=1)


def large(frame: np.ndarray) -> np.ndarray:
    return frame.repeat(TIMES, 0).repeat(TIMES, 1)


def on_white(picture: np.ndarray, height: int) -> np.ndarray:
    """With white below it and at its right."""
    return np.pad(picture, ((0, height - len(picture)), (0, 4), (0, 0)), constant_values=255)
