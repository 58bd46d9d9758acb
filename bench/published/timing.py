"""Two ways of one computation, timed in turns, so that whatever else the machine does falls on both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

Do = Callable[[], Any]


def timed(do: Do) -> tuple[float, Any]:
    """Seconds, and what was made."""
    began = time.perf_counter()
    made = do()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began, made


def in_turns(ways: Sequence[Do], rounds: int) -> list[list[float]]:
    """Seconds of each, so many times."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for taken, way in zip(seconds, ways, strict=True):
            taken.append(timed(way)[0])
    return seconds
