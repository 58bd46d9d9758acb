"""The wake-up calls between processes: Celery, with no truth in its messages.

A message says "there may be work"; what the work is, the store knows. Lost or doubled messages are harmless,
and no result is kept. So none is acknowledged: an acknowledgement that is lost with the connection would leave its
worker waiting for ever for leave to take the next one (kombu 5.7). Tasks are sent by name: the service never imports
the workers.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

from service.database import failures
from service.errors import StoreUnavailable
from service.settings import Settings

RENDER, DELIVER, SWEEP = "longtake.render", "longtake.deliver", "longtake.sweep"
RENDER_QUEUE, DELIVER_QUEUE = "render", "deliver"
QUEUE_OF = {RENDER: RENDER_QUEUE, DELIVER: DELIVER_QUEUE, SWEEP: DELIVER_QUEUE}
ENOUGH = 16  # wake-ups that wait: more of them would only pile up
_KEY_PREFIX = "longtake:celery:"

log = logging.getLogger(__name__)


def make_celery(settings: Settings) -> Celery:
    """The Celery app of the API and of every worker; the workers add their tasks to it."""
    app = Celery("longtake", broker=settings.redis_url)
    queues = [render_queue(pool) for pool in ("", *sorted({*settings.pools.values()}))] + [DELIVER_QUEUE]
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_queues=[Queue(name, no_ack=True) for name in queues],
        task_routes={name: {"queue": queue} for name, queue in QUEUE_OF.items()},
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_pool_start_method="spawn",  # CUDA does not survive a fork
        worker_proc_alive_timeout=120,  # a spawned child imports torch first
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the lease says who works, not the broker
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,  # nobody who can write to Redis commands a worker
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport(settings),
    )
    return app


def _transport(settings: Settings) -> dict[str, Any]:
    return {
        "global_keyprefix": _KEY_PREFIX,
        "socket_connect_timeout": settings.redis_timeout_s,
        "socket_timeout": settings.redis_timeout_s + 2,  # longer than the second that a consumer blocks for
        "connect_retries_timeout": 1.0,  # a request does not wait for a broker that is away
        "interval_start": 0.1,
    }


def render_queue(pool: str = "") -> str:
    """Where the workers of a pool are called."""
    return f"{RENDER_QUEUE}.{pool}" if pool else RENDER_QUEUE


def waiting(app: Celery, name: str) -> int:
    """Messages in a queue. Raises `StoreUnavailable`."""
    try:
        with failures(), app.connection_or_acquire() as connection:
            count: int = connection.default_channel.queue_declare(name).message_count
            return count
    except OperationalError as error:
        raise StoreUnavailable("The broker does not answer; try again in a moment.") from error


class Waker:
    """Sends wake-ups. One that cannot be sent is no error: the sweep sends them again."""

    def __init__(self, app: Celery):
        self._app = app

    def wake(self, n: int = 1, pool: str = "") -> None:
        """`n` units of a pool may be waiting."""
        for _ in range(n):
            self._send(RENDER, render_queue(pool))

    def wake_more(self, n: int, pool: str = "") -> None:
        """The same, unless so many wake-ups wait that nobody can be idle. Raises `StoreUnavailable`."""
        if waiting(self._app, render_queue(pool)) < ENOUGH:
            self.wake(n, pool)

    def wake_delivery(self) -> None:
        """A webhook may be due."""
        self._send(DELIVER, DELIVER_QUEUE)

    def _send(self, name: str, queue: str) -> None:
        try:
            self._app.send_task(name, queue=queue)
        except OperationalError as error:
            log.warning("wake-up not sent", extra={"task": name, "reason": str(error)})
