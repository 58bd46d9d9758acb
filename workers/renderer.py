"""The role `render`: one message, one unit or several at once. Opened in the spawned child: it alone holds the model.

Stops within a step of SIGTERM: the parent passes the signal on, the unit is given back, and another worker
has it at once. Knows Celery; what a unit is, `workers.render` knows. Tensors are imported in the child only:
the parent stays small.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from billiard.process import active_children
from celery import current_app, shared_task, signals
from prometheus_client import Gauge, start_http_server

from models import catalog, imports
from service import queue, tracing
from service.errors import StoreUnavailable
from workers import journal as journal  # connects the logging
from workers.heartbeat import Heartbeat
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from workers.workshop import Workshop

log = logging.getLogger(__name__)

PEAK = Gauge("longtake_gpu_memory_peak_bytes", "The most GPU memory that this worker has used; 0 without a GPU.")

LOOK_AGAIN_S = 0.2  # whether it should leave, or its units stand still
BROKEN_S = 60.0  # then a new process tries again; a supervisor that reads heartbeats is sooner

opened: list[Workshop] = []  # one, in the child


def render() -> None:
    """Do one unit, or several at once, and call again while there is work: once the worker is ready."""
    from workers.render import render_some

    shop, waker = opened[0], queue.Waker(current_app)
    pool = shop.settings.pool
    signal.signal(signal.SIGTERM, lambda number, frame: shop.draining.set())  # the pool's own would end us here
    try:
        for job in render_some(shop) if comes_up(shop) else ():
            if job.state.is_terminal:
                waker.wake_delivery()
            if shop.store.has_work(pool):
                waker.wake_more(max(1, job.opened), pool)
        if shop.draining.is_set() and shop.store.has_work(pool):
            waker.wake_more(1, pool)
    except StoreUnavailable as error:
        log.warning("work put off: %s", error)  # until the sweep wakes somebody
    if shop.fitness.is_lost:
        begin_anew("one unit after another went wrong")


def comes_up(shop: Workshop) -> bool:
    """Wait until the worker is ready, which a broken one never is; False where it is asked to leave."""
    while not shop.draining.is_set() and not shop.ready.wait(LOOK_AGAIN_S):
        pass
    return not shop.draining.is_set()


def begin_anew(reason: str) -> None:
    """End this process; its parent begins another, which may find a GPU or a file that this one has lost."""
    log.error("this worker begins anew: %s", reason)
    tracing.flush()
    os._exit(os.EX_SOFTWARE)


def open_shop(**_: Any) -> None:
    """In the child: settings, connections, figures, and the first model in the background."""
    with imports.that_stay():
        import torch

        import workers.render  # noqa: F401 - or the first message would wait for it
        from workers.workshop import Workshop

    settings = WorkerSettings()
    tracing.configure(settings, "render")
    torch.set_num_threads(settings.torch_threads)
    PEAK.set_function(torch.cuda.max_memory_allocated)
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.metrics_host)
    shop = Workshop.open(settings)
    opened[:] = [shop]
    heartbeat = Heartbeat(settings.heartbeat_file, shop.worker_id)
    heartbeat.start()
    threading.Thread(target=get_ready, args=(shop, settings.preload, heartbeat), name="preload", daemon=True).start()
    threading.Thread(target=watch, args=(shop,), name="watch", daemon=True).start()


def get_ready(shop: Workshop, model: str, heartbeat: Heartbeat) -> None:
    """Load the model that videos will ask for, so that the first one does not wait for it."""
    from workers import provenance

    try:
        _ = shop.frame_policy  # what cannot be used is an error now, not at the first video
        provenance.check(shop.settings)
        if model:
            shop.warm(catalog.find(model))
        shop.ready.set()
        heartbeat.become("ready")
    except Exception:
        log.exception("this worker cannot work", extra={"model": model})
        heartbeat.become("broken")
        if not shop.draining.wait(BROKEN_S):
            begin_anew("it cannot work")


def watch(shop: Workshop) -> None:
    """Give the process up when its units stand still: only then their leases end."""
    while shop.fitness.still_s < shop.settings.stall_s:
        time.sleep(LOOK_AGAIN_S)
    faulthandler.dump_traceback(sys.__stderr__ or 2)  # where they stand
    begin_anew("nothing moves")


def pass_it_on(**_: Any) -> None:
    """In the parent: Celery waits for the unit in work; the child is told to give it back."""
    for child in active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)


def end_traces(**_: Any) -> None:
    """In the child, which ends without its exit handlers."""
    tracing.flush()


shared_task(render, name=queue.RENDER)
signals.worker_process_init.connect(open_shop)
signals.worker_process_shutdown.connect(end_traces)
signals.worker_shutting_down.connect(pass_it_on)
