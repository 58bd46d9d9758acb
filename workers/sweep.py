"""What nobody else does: units of lost workers, wake-ups that were lost, videos whose time is over, and objects
of deleted videos and of workers that lost their unit.

Every step may be done twice or by several at once. Knows the store and the queue; nothing of Celery's tasks.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence

from celery import Celery

from service import queue
from service.errors import ServiceError
from service.objects import Objects
from service.store import Store

log = logging.getLogger(__name__)

_FENCE = re.compile(r"\.f(\d+)\.[a-z0-9]+$")  # as `workers.render` and `workers.finish` name what they write


def sweep(store: Store, objects: Objects, app: Celery) -> None:
    """One round."""
    waker = queue.Waker(app)
    if lost := store.expire_leases():
        log.warning("leases ran out or deadlines passed", extra={"jobs": lost})
    if over := store.expire_videos():
        log.info("videos expired", extra={"videos": over})
    for tenant, job_id in store.littered():
        tidy(store, objects, tenant, job_id)
    for tenant, job_id in store.discarded():
        objects.delete_prefix(f"{tenant}/{job_id}/")
        store.erased(tenant, job_id)
    for pool in store.pools():
        if store.has_work(pool) and not queue.waiting(app, queue.render_queue(pool)):
            waker.wake(pool=pool)
    if not queue.waiting(app, queue.DELIVER_QUEUE):  # one that waits need not be sent again
        waker.wake_delivery()


def tidy(store: Store, objects: Objects, tenant: str, job_id: str) -> None:
    """Erase what workers left that had lost their unit: objects of a fence under which nothing was committed.

    The names are read before the fences: a job that is deleted meanwhile has none, and is not touched.
    """
    written = [(name, _FENCE.search(name)) for name in objects.list(f"{tenant}/{job_id}/")]
    committed = store.fences(job_id)
    for name, fence in written:
        if fence and committed is not None and int(fence[1]) not in committed:
            objects.delete(name)
    store.tidied(tenant, job_id)


class StaleUploads:
    """A chore: a few times in `age_s` it erases the uploads that began so long ago and were never completed."""

    def __init__(self, objects: Objects, age_s: float):
        self._objects, self._age_s, self._next_at = objects, age_s, time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + self._age_s / 4
            if stale := self._objects.abort_stale(self._age_s):
                log.warning("uploads that were never completed are erased", extra={"uploads": stale})


class Sweeper(threading.Thread):
    """A round of all chores every `interval_s` until `stop`; one that fails holds up no other, and is tried again."""

    def __init__(self, chores: Sequence[Callable[[], None]], interval_s: float):
        super().__init__(name="sweeper", daemon=True)
        self._chores, self._interval_s, self._stop_asked = chores, interval_s, threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(self._interval_s):
            for chore in self._chores:
                self._do(chore)

    def _do(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except ServiceError as error:
            log.warning("sweep put off: %s", error)
        except Exception:  # without rounds nothing is repaired, so the next one is tried
            log.exception("sweep failed")

    def stop(self) -> None:
        self._stop_asked.set()
