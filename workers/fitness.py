"""Whether what goes wrong may be this worker's own fault.

A worker whose GPU has died fails in a moment what takes another one a minute: it would take, and fail, all that waits.
So it rests after a failure until another may have come free for what it gave back. When the next unit goes wrong as
well, its process is given up: a new one finds a GPU, or memory, that the old one has lost. So it is when a unit stands
still, whose lease is renewed all the while: in a GPU that never answers, or a file system that does not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

ENOUGH = 2  # fewer than the attempts of a unit, so that the new process has one of them


class Fitness:
    """What became of the last units; told and asked by any of a worker's threads."""

    def __init__(self) -> None:
        self._failures, self._rests_until = 0, 0.0
        self._at_work, self._moved_at = 0, 0.0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While it has a unit."""
        self.moved()
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    def moved(self) -> None:
        """A unit came on by a step."""
        self._moved_at = time.monotonic()

    @property
    def still_s(self) -> float:
        """Seconds for which none of its units came on; 0 where it has none."""
        return time.monotonic() - self._moved_at if self._at_work else 0.0

    def failed(self, rest_s: float, *, is_own: bool) -> None:
        """`is_own`: in this process, and not on the way to something else."""
        self._failures += is_own
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
