"""A render worker that is killed at a chosen call of its store or its storage: `commit:before:3`; or by a prompt.

Run as `python -m tests.support.killable` with LONGTAKE_TEST_KILL_AT or LONGTAKE_TEST_POISON. Every boundary of a unit
is such a call, so every boundary can be reached without a hook in the product. The whole process group goes, as a
machine would. With LONGTAKE_TEST_MUTE it lives, and no longer says so. With LONGTAKE_TEST_LOSES or LONGTAKE_TEST_HANGS
it lives, and every unit goes wrong, or stands still: in `every` process of it, or in the `first`.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from celery import signals

from workers import app, heartbeat, renderer
from workers.settings import WorkerSettings


class Doomed:
    """The real thing, until the n-th call of one method: killed before it, or when it has been done."""

    def __init__(self, real: Any, method: str, moment: str, left: int):
        self._real, self._method, self._moment, self._left = real, method, moment, left

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        return self._call if name == self._method else real

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self._left == 0 and self._moment == "before":
            die()
        answer = getattr(self._real, self._method)(*args, **kwargs)
        if self._left == 0:
            die()
        return answer


class Deadly:
    """The recipe of a job, unless its prompt holds the poison: as tensors that bring a driver down."""

    def __init__(self, real: Any, poison: str):
        self._real, self._poison = real, poison

    def __call__(self, job: Any) -> Any:
        if self._poison in job.generation.prompt:
            die()
        return self._real(job)


def lose(job: Any) -> Any:
    """The recipe of a job, on a GPU that has fallen off the bus."""
    raise RuntimeError("CUDA error: unspecified launch failure")


def hang(job: Any) -> Any:
    """The recipe of a job, on a GPU that never answers."""
    threading.Event().wait()


def die() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)


def arm(**_: Any) -> None:
    shop = renderer.opened[0]
    if os.environ.get("LONGTAKE_TEST_MUTE"):
        heartbeat.INTERVAL_S = 3600.0
        return
    for name, harm in (("LONGTAKE_TEST_LOSES", lose), ("LONGTAKE_TEST_HANGS", hang)):
        if processes := os.environ.get(name):
            was_here = Path(os.environ["LONGTAKE_HEARTBEAT_FILE"]).with_suffix(".harmed")
            if processes == "every" or not was_here.exists():
                shop.recipe = harm  # type: ignore[method-assign]
            was_here.touch()
            return
    if poison := os.environ.get("LONGTAKE_TEST_POISON"):
        shop.recipe = Deadly(shop.recipe, poison)  # type: ignore[method-assign]
        return
    method, moment, left = os.environ["LONGTAKE_TEST_KILL_AT"].split(":")
    shop.store = Doomed(shop.store, method, moment, int(left))  # type: ignore[assignment]
    shop.objects = Doomed(shop.objects, method, moment, int(left))  # type: ignore[assignment]


signals.worker_process_init.connect(arm)  # after the renderer's own, which opens the shop

if __name__ == "__main__":
    app.run("render", WorkerSettings(), extra_modules=["tests.support.killable"])
