"""Sound that belongs to frames: which samples are whose, and how one piece is faded into another.

The samples of a video's frames are counted from its beginning, so that pieces of it join without a gap or an overlap
whatever the two rates are. Knows numbers only; nothing of what makes or encodes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Sound:
    """samples: int16 [S, C], S of all channels together a moment. rate: moments a second."""

    samples: np.ndarray
    rate: int


def begins(frame: int, *, fps: int, rate: int) -> int:
    """The sample with which a frame begins: the nearest one, and the later of two."""
    return (2 * frame * rate + fps) // (2 * fps)


def span(first_frame: int, num_frames: int, *, fps: int, rate: int) -> int:
    """How many samples belong to these frames."""
    return begins(first_frame + num_frames, fps=fps, rate=rate) - begins(first_frame, fps=fps, rate=rate)


def faded(before: np.ndarray, after: np.ndarray) -> np.ndarray:  # int16 [N, C], int16 [S, C] -> int16 [S, C]
    """`after`, into whose beginning `before` fades, which is how the sound before it would have gone on.

    With equal power: the two were made apart, so their powers add up, and a linear fade would sink by 3 dB in its
    middle. Where it is as loud as int16 goes, it is cut off.
    """
    count = min(len(before), len(after))
    turn = (np.arange(count) / max(1, count) * np.pi / 2)[:, None]
    mixed = np.cos(turn) * before[:count] + np.sin(turn) * after[:count]
    limits = np.iinfo(np.int16)
    return np.concatenate([mixed.round().clip(limits.min, limits.max).astype(np.int16), after[count:]])
