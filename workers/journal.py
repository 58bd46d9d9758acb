"""What a worker process logs: the service's form, and of Celery only what went wrong.

Importing this is enough: Celery asks for the logging when a worker and each of its children starts.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import signals

from service.telemetry import configure_logging
from workers.settings import WorkerSettings


def write_as_the_service_does(**_: Any) -> None:
    configure_logging(WorkerSettings())
    for chatty in ("celery.worker.strategy", "celery.app.trace"):  # two lines a message, none of them ours
        logging.getLogger(chatty).setLevel(logging.WARNING)


signals.setup_logging.connect(write_as_the_service_does)
