"""Object storage that is away for a while: a worker waits for it, for what it would put there is made already.

Without it an outage of a few seconds used up a unit's attempts, one after another, and failed the video. Knows nothing
of what is stored.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from service.errors import StorageUnavailable
from service.objects import Objects

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0


def patient(objects: Objects, seconds: float, leaving: threading.Event) -> Objects:
    """The same storage, every call of which is made again, with growing pauses, while it does not answer.

    After so many seconds, or when `leaving` is set, the last `StorageUnavailable` is raised.
    """
    return cast(Objects, _Patient(objects, seconds, leaving))


class _Patient:
    def __init__(self, real: Objects, seconds: float, leaving: threading.Event):
        self._real, self._seconds, self._leaving = real, seconds, leaving

    def __getattr__(self, name: str) -> Any:
        return partial(self._until_it_answers, getattr(self._real, name))

    def _until_it_answers(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        deadline, wait_s = time.monotonic() + self._seconds, FIRST_WAIT_S
        while True:
            try:
                return call(*arguments, **options)
            except StorageUnavailable as error:
                if self._leaving.is_set() or time.monotonic() + wait_s > deadline:
                    raise
                log.warning("object storage does not answer, waiting", extra={"wait_s": wait_s, "reason": str(error)})
                self._leaving.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
