"""The Celery side of the workers: one app, two roles, each a process of its own.

`python -m workers render` makes videos, `python -m workers deliver` posts webhooks and sweeps. A role is the
module with its tasks; everything else about Celery stands in `service.queue`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from celery import Celery

from service import queue
from service.settings import Settings
from workers.settings import WorkerSettings

#: role -> module with its tasks, and how its worker is run.
ROLES = {
    # One unit at a time in one spawned child: it can be killed without the parent, and holds the model.
    "render": (
        "workers.renderer",
        ("--pool", "prefork", "--concurrency", "1"),
    ),
    # Posting is waiting: threads, so that a slow receiver does not hold up the others.
    "deliver": (
        "workers.courier",
        ("--pool", "threads", "--concurrency", "8"),
    ),
}


def make_app(settings: Settings, *modules: str) -> Celery:
    """The app of the service with the tasks of these modules."""
    app = queue.make_celery(settings)
    app.conf.include = list(modules)
    return app


def run(role: str, settings: WorkerSettings, extra_modules: Sequence[str] = ()) -> None:
    """Be a worker of that role until SIGTERM."""
    module, options = ROLES[role]
    app = make_app(settings, module, *extra_modules)
    called = {"render": queue.render_queue(settings.pool), "deliver": queue.DELIVER_QUEUE}[role]
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", settings.log_level)
    app.worker_main(["worker", "--hostname", f"{role}-{os.getpid()}@%h", "--queues", called, *options, *quiet])


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in ROLES:
        sys.exit(f"usage: python -m workers {'|'.join(ROLES)}")
    run(sys.argv[1], WorkerSettings())
