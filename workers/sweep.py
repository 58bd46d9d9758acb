"""What nobody else does: units of lost workers, wake-ups that were lost, objects of deleted videos.

Every step may be done twice or by several at once. Knows the store and the queue; nothing of Celery's tasks.
"""

from __future__ import annotations

import logging
import threading

from celery import Celery

from service import queue
from service.errors import ServiceError
from service.objects import Objects
from service.store import Store

log = logging.getLogger(__name__)


def sweep(store: Store, objects: Objects, app: Celery) -> None:
    """One round."""
    waker = queue.Waker(app)
    if lost := store.expire_leases():
        log.warning("leases ran out or deadlines passed", extra={"jobs": lost})
    for tenant, job_id in store.discarded():
        objects.delete_prefix(f"{tenant}/{job_id}/")
        store.erased(tenant, job_id)
    if store.has_work() and not waiting(app, queue.RENDER_QUEUE):
        waker.wake()
    if not waiting(app, queue.DELIVER_QUEUE):
        waker.wake_delivery()


def waiting(app: Celery, name: str) -> int:
    """Messages in a queue. A wake-up that already waits need not be sent again, so none pile up."""
    with app.connection_for_read() as connection:
        count: int = connection.default_channel.queue_declare(name).message_count
        return count


class Sweeper(threading.Thread):
    """A round every `interval_s` until `stop`."""

    def __init__(self, store: Store, objects: Objects, app: Celery, interval_s: float):
        super().__init__(name="sweeper", daemon=True)
        self._round = (store, objects, app)
        self._interval_s, self._stop_asked = interval_s, threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(self._interval_s):
            try:
                sweep(*self._round)
            except ServiceError as error:
                log.warning("sweep put off: %s", error)
            except Exception:  # without rounds nothing is repaired, so the next one is tried
                log.exception("sweep failed")

    def stop(self) -> None:
        self._stop_asked.set()
