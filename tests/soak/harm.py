"""What is done to the house while it is soaked: a fault every so often, each as often as the others, drawn from a seed.

Of two workers the younger is harmed, so that the other grows old enough to show what it keeps; so is the courier in the
first half only.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.grounds import Crew, Grounds
from tests.support.house import until
from tests.support.processes import Process
from tests.support.proxy import Fault, Proxy
from tests.support.s3 import S3Server

AFTERMATH_S = 8.0  # after a fault: connections are made anew, leases run out, what was put off is done
LEAVES_WITHIN_S = 30.0
DELAY_S = 0.2
COURIER_KILLED = "courier killed"


@dataclass(frozen=True)
class Window:
    """When a fault held, by the clock of the wall, and its aftermath."""

    fault: str
    began: float
    ended: float

    def holds(self, at: float) -> bool:
        return self.began <= at <= self.ended + AFTERMATH_S


class Harm(threading.Thread):
    """One fault every `every_s` until `stop`; a fault that could not be done is told in `troubles`."""

    def __init__(
        self, grounds: Grounds, crew: Crew, s3_server: S3Server, rng: random.Random, every_s: float, troubles: list[str]
    ):
        super().__init__(name="harm", daemon=True)
        self._grounds, self._crew, self._s3_server, self._rng = grounds, crew, s3_server, rng
        self._every_s, self._troubles, self._over = every_s, troubles, threading.Event()
        self.windows, self._since, self._spares_courier_at = list[Window](), 0.0, math.inf

    def begin(self, seconds: float) -> None:
        """It is to last so long."""
        self._spares_courier_at = time.time() + seconds / 2
        self.start()

    def run(self) -> None:
        faults = self._faults()
        while True:
            for name in self._rng.sample(sorted(faults), len(faults)):
                if name == COURIER_KILLED and time.time() > self._spares_courier_at:
                    continue
                if self._over.wait(self._every_s - (time.time() % self._every_s)):
                    return
                self._do(name, faults[name])

    def stop(self) -> None:
        self._over.set()
        self.join()

    def is_quiet(self) -> bool:
        now = time.time()
        return not self._since and not any(window.holds(now) for window in self.windows[-2:])

    def _do(self, name: str, fault: Callable[[], None]) -> None:
        began = self._since = time.time()
        try:
            fault()
        except Exception as error:  # the others are still to come
            self._troubles.append(f"{name} could not be done: {error!r}")
        self.windows.append(Window(name, began, time.time()))
        self._since = 0.0

    def _faults(self) -> dict[str, Callable[[], None]]:
        to_redis, to_storage = self._grounds.to_redis, self._grounds.to_storage
        assert to_storage is not None
        through = {
            f"{place} {fault}": self._through(proxy, fault)
            for place, proxy in (("store", to_redis), ("storage", to_storage))
            for fault in (Fault.RESET, Fault.BLACKHOLE, Fault.DELAY)
        }
        return through | {
            "worker killed": self._kill_worker,
            "worker asked to leave": self._dismiss_worker,
            COURIER_KILLED: self._kill_courier,
            "store killed": self._kill_store,
            "storage killed": self._kill_storage,
        }

    def _through(self, proxy: Proxy, fault: Fault) -> Callable[[], None]:
        def hold() -> None:
            proxy.fault(fault, delay_s=DELAY_S)
            self._over.wait(self._rng.uniform(2, 4))
            proxy.heal()

        return hold

    def _kill_worker(self) -> None:
        self._younger().kill()
        self._await_crew()

    def _dismiss_worker(self) -> None:
        worker = self._younger()
        worker.terminate()
        until(lambda: not worker.is_running, f"an end of {worker.name}", LEAVES_WITHIN_S)
        self._await_crew()

    def _kill_courier(self) -> None:
        courier = self._grounds.courier
        courier.kill()
        until(lambda: self._grounds.courier is not courier, "another courier", 10)

    def _kill_store(self) -> None:
        self._grounds.valkey.kill()
        time.sleep(self._rng.uniform(0, 2))
        self._grounds.valkey.start()

    def _kill_storage(self) -> None:
        self._s3_server.kill()
        time.sleep(self._rng.uniform(0, 2))
        self._s3_server.start()

    def _younger(self) -> Process:
        return max(self._crew.workers, key=lambda worker: int(worker.name.rpartition("-")[2]))

    def _await_crew(self) -> None:
        """A worker that loads its model takes the processor from all others: no time to measure."""
        until(lambda: all(self._grounds.beat(one.name) == "ready" for one in self._crew.workers), "the crew", 60)
