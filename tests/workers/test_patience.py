"""Storage that is away is waited for: not for ever, and not by a worker that is asked to leave."""

from __future__ import annotations

import threading
import time

import pytest

from service.errors import NotFound, StorageUnavailable
from workers.patience import patient


class Away:
    """Answers after so many failures."""

    def __init__(self, failures: int, error: type[Exception] = StorageUnavailable):
        self.left, self.asked, self.error = failures, 0, error

    def get(self, key: str) -> bytes:
        self.asked += 1
        self.left -= 1
        if self.left >= 0:
            raise self.error("Away.")
        return key.encode()


def test_it_is_asked_again_until_it_answers() -> None:
    storage = Away(2)
    assert patient(storage, 5, threading.Event()).get("a") == b"a"  # type: ignore[arg-type]
    assert storage.asked == 3


def test_what_is_not_there_is_told_at_once() -> None:
    storage = Away(1, NotFound)
    with pytest.raises(NotFound):
        patient(storage, 5, threading.Event()).get("a")  # type: ignore[arg-type]
    assert storage.asked == 1


def test_patience_ends() -> None:
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        patient(Away(100), 0.6, threading.Event()).get("a")  # type: ignore[arg-type]
    assert time.monotonic() - began < 1


def test_a_worker_that_is_asked_to_leave_waits_no_longer() -> None:
    leaving = threading.Event()
    threading.Timer(0.1, leaving.set).start()
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        patient(Away(100), 60, leaving).get("a")  # type: ignore[arg-type]
    assert time.monotonic() - began < 1
