"""Whether what goes wrong may be this worker's own fault.

A worker whose GPU has died fails in a moment what takes another one a minute: it would take, and fail, all that waits.
So it rests after a failure until another may have come free for what it gave back. When the next unit goes wrong as
well, its process is given up: a new one finds a GPU, or memory, that the old one has lost.
"""

from __future__ import annotations

import time

ENOUGH = 2  # fewer than the attempts of a unit, so that the new process has one of them


class Fitness:
    """What became of the last units; told and asked by any of a worker's threads."""

    def __init__(self) -> None:
        self._failures, self._rests_until = 0, 0.0

    def failed(self, rest_s: float) -> None:
        self._failures += 1
        self._rests_until = time.monotonic() + rest_s

    def succeeded(self) -> None:
        self._failures, self._rests_until = 0, 0.0

    @property
    def rest_s(self) -> float:
        """Seconds for which it should take no unit yet."""
        return max(0.0, self._rests_until - time.monotonic())

    @property
    def is_lost(self) -> bool:
        """Whether another process should take its place."""
        return self._failures >= ENOUGH
