"""The role `deliver`: posts webhooks that are due, and sweeps on a timer.

Its own process, so that neither a busy renderer nor a slow receiver holds it up. Loads no tensors. Knows
Celery; what is posted and what is repaired, `service.webhooks` and `workers.sweep` know.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from celery import current_app, shared_task, signals
from prometheus_client import start_http_server

from service import additions, ids, queue, tracing
from service.database import connect
from service.errors import StoreUnavailable
from service.ledger import Ledger
from service.objects import Objects, open_objects
from service.store import Store
from service.telemetry import DeliveryMetrics
from service.webhooks import Deliverer
from workers import journal as journal  # connects the logging
from workers.heartbeat import Heartbeat
from workers.settings import WorkerSettings
from workers.sweep import StaleUploads, Sweeper, sweep

log = logging.getLogger(__name__)


@dataclass
class Office:
    """What this process works with. `leaving` is set when it is asked to stop."""

    store: Store
    objects: Objects
    deliverer: Deliverer
    sweeper: Sweeper
    leaving: threading.Event = field(default_factory=threading.Event)


opened: list[Office] = []  # one a process


def deliver() -> None:
    """Post until nothing is due, or the process is asked to leave; then what is due waits for the next."""
    office = opened[0]
    try:
        while not office.leaving.is_set() and office.deliverer.deliver_due():
            pass
    except StoreUnavailable as error:
        log.warning("delivery put off: %s", error)  # until the sweep wakes us


def sweep_now() -> None:
    """A round out of turn, for whoever asks by name."""
    sweep(opened[0].store, opened[0].objects, current_app)


def open_or_leave(sender: Any, **_: Any) -> None:
    """Celery would go on with a process that cannot work, and take wake-ups from those that can."""
    try:
        open_office(sender)
    except Exception:
        log.exception("this process cannot work")
        os._exit(1)  # Celery ends with 0, whatever it is told here


def open_office(sender: Any) -> None:
    settings = WorkerSettings()
    tracing.configure(settings, "deliver")
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.metrics_host)
    additions.settle(settings)
    client, app = connect(settings), sender.app
    store, objects = Store(client, settings), open_objects(settings)
    chores = (
        partial(sweep, store, objects, app),
        Ledger(client, settings, objects).catch_up,
        StaleUploads(objects, settings.stale_upload_s),
    )
    sweeper = Sweeper(chores, settings.sweep_interval_s)
    opened[:] = [Office(store, objects, Deliverer.open(client, settings, DeliveryMetrics()), sweeper)]
    sweeper.start()
    heartbeat = Heartbeat(settings.heartbeat_file, ids.new("worker"))
    heartbeat.start()
    heartbeat.become("ready")


def close_office(**_: Any) -> None:
    for office in opened:
        office.leaving.set()
        office.sweeper.stop()


shared_task(deliver, name=queue.DELIVER)
shared_task(sweep_now, name=queue.SWEEP)
signals.worker_ready.connect(open_or_leave)
signals.worker_shutting_down.connect(close_office)
