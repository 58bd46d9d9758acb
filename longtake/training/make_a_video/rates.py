"""Frame rates that video is learned at: first fast ones, whose frames hardly differ, and slow ones in the end.

Source: Make-A-Video (arXiv 2209.14792) section 3.3 and appendix, which has 1 to 30 frames a second from a beta
distribution that moves from the high rates to the low ones, and does not say which. Knows nothing of networks.
"""

from __future__ import annotations

import random

from models.make_a_video.decoder import FPS

STEEP = 4.0  # α and β move between 1 and so much: the mean from four fifths of the range to a fifth


def rate(rng: random.Random, done: float) -> float:
    """Frames a second for one clip, `done` being the share of the training that is over, 0 to 1."""
    low, high = FPS
    alpha, beta = STEEP + (1 - STEEP) * done, 1 + (STEEP - 1) * done
    return low + (high - low) * rng.betavariate(alpha, beta)
