"""What a worker remembers between units: loaded models, recipes of jobs in work, and the states it made last.

Only a short cut: every state is in object storage too, and another worker goes on from there. Bounded, oldest
out first. Knows nothing of stores or media.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The values used last, as many as `capacity` holds by `weigh`. Safe to use from several threads."""

    def __init__(self, capacity: int, weigh: Callable[[Value], int] = lambda value: 1):
        self._capacity, self._weigh = capacity, weigh
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Key, value: Value) -> Value:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(map(self._weigh, self._kept.values())) > self._capacity:
                self._kept.popitem(last=False)
        return value

    def get_or(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value, made once however many threads ask for it."""
        with self._lock:
            found = self.get(key)
            return self.put(key, make()) if found is None else found

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
