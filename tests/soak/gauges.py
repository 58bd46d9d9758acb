"""What is read every few seconds while the house is soaked: what its processes, its store and its bucket hold.

Each value has a time, whose it is and whether the house was left in peace. A process that is started again is another
one. Reads past every proxy, so that a fault does not blind it; a server that is down has no value.
"""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import redis
from botocore.exceptions import BotoCoreError, ClientError

from tests.support import s3
from tests.support.grounds import Crew, Grounds
from tests.support.processes import Process
from tests.support.s3 import S3Server

EVERY_S = 5.0


@dataclass(frozen=True)
class Sample:
    at_s: float  # since the beginning
    quiet: bool
    role: str  # api, worker, courier, store, bucket
    who: str  # which of them: a name and a pid
    what: str
    value: float


class Gauges(threading.Thread):
    """Reads all of them every EVERY_S until `stop`."""

    def __init__(self, grounds: Grounds, crew: Crew, s3_server: S3Server, is_quiet: Callable[[], bool]):
        super().__init__(name="gauges", daemon=True)
        self._grounds, self._crew, self._s3_server, self._is_quiet = grounds, crew, s3_server, is_quiet
        self._over, self._began, self.samples = threading.Event(), time.monotonic(), list[Sample]()
        self._redis = redis.Redis(port=grounds.valkey.port, socket_timeout=1)

    def run(self) -> None:
        while not self._over.wait(EVERY_S):
            self.read()

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._redis.close()

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._began

    def read(self) -> None:
        at_s, quiet = self.now_s, self._is_quiet()
        for role, who, what, value in (*self._processes(), *self._store(), *self._bucket()):
            self.samples.append(Sample(at_s, quiet, role, who, what, value))

    def write(self, file: Path) -> None:
        with file.open("w", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            rows.writerow(field.name for field in fields(Sample))
            rows.writerows(astuple(sample) for sample in self.samples)

    def _processes(self) -> Iterator[tuple[str, str, str, float]]:
        roles = [("api", self._grounds.api), ("courier", self._grounds.courier)]
        for role, process in roles + [("worker", worker) for worker in list(self._crew.workers)]:
            with suppress(psutil.Error):
                for what, value in _held(process).items():
                    yield role, f"{process.name} {process.pid}", what, value

    def _store(self) -> Iterator[tuple[str, str, str, float]]:
        with suppress(redis.RedisError):
            told: Any = self._redis.info()
            yield "store", "store", "keys", float(self._redis.dbsize())  # type: ignore[arg-type]
            yield "store", "store", "memory_mb", told["used_memory"] / 1e6
            yield "store", "store", "clients", float(told["connected_clients"])

    def _bucket(self) -> Iterator[tuple[str, str, str, float]]:
        with suppress(BotoCoreError, ClientError):
            yield "bucket", "bucket", "objects", float(len(objects(self._s3_server)))


def objects(server: S3Server) -> list[str]:
    """The names of all."""
    pages = server.client().get_paginator("list_objects_v2").paginate(Bucket=s3.BUCKET)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def _held(process: Process) -> dict[str, float]:
    """By the process and its children together; an encoder that comes and goes is not counted."""
    parent = psutil.Process(process.pid)
    family = [one for one in (parent, *parent.children(recursive=True)) if "python" in one.name()]
    return {
        "rss_mb": sum(one.memory_info().rss for one in family) / 1e6,
        "fds": float(sum(one.num_fds() for one in family)),
        "threads": float(sum(one.num_threads() for one in family)),
    }
