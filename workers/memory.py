"""What a worker remembers between units: loaded models, recipes of jobs in work, and the states it made last.

Only a short cut: every state is in object storage too, and another worker goes on from there. Bounded, oldest
out first. Knows nothing of stores or media.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The values used last, as many as `capacity` holds by `weigh`. Safe to use from several threads.

    With `keeps_s` what nobody has used for so long goes when the next one comes.
    """

    def __init__(self, capacity: int, weigh: Callable[[Value], int] = lambda value: 1, keeps_s: float = math.inf):
        self._capacity, self._weigh, self._keeps_s = capacity, weigh, keeps_s
        self._kept: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key not in self._kept:
                return None
            _, value = self._kept.pop(key)
            return self._keep(key, value)

    def put(self, key: Key, value: Value) -> Value:
        with self._lock:
            self._kept.pop(key, None)
            self._keep(key, value)
            while len(self._kept) > 1 and (self._is_full() or self._is_forgotten()):
                self._kept.popitem(last=False)
        return value

    def get_or(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value, made once however many threads ask for it."""
        with self._lock:
            found = self.get(key)
            return self.put(key, make()) if found is None else found

    def _keep(self, key: Key, value: Value) -> Value:
        """As the one used last."""
        self._kept[key] = time.monotonic(), value
        return value

    def _is_full(self) -> bool:
        return sum(self._weigh(value) for _, value in self._kept.values()) > self._capacity

    def _is_forgotten(self) -> bool:
        """Whether nobody has used the oldest for long."""
        used_at, _ = next(iter(self._kept.values()))
        return time.monotonic() - used_at > self._keeps_s

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
