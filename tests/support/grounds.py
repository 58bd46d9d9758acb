"""A house to do harm to: its processes reach Redis, and storage where that is S3, through proxies; workers come again.

Knows how to harm, and how all is seen when it is over; what must hold then is the experiment's.
"""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from service.database import connect
from service.jobs import Job, JobState
from service.keys import key
from service.settings import Settings
from service.store import Store
from tests.support import s3
from tests.support.history import Fate
from tests.support.house import House, stored_jobs, until
from tests.support.processes import Process
from tests.support.proxy import Proxy
from tests.support.s3 import S3Server
from tests.support.servers import Valkey, free_port


class Grounds(House):
    """With `s3_server` the objects are there, else in a folder."""

    def __init__(self, folder: Path, s3_server: S3Server | None = None, *, forked: bool = True, **settings: str):
        valkey = Valkey(folder / "valkey").start()
        self.to_redis = Proxy(valkey.port).start()
        self.to_storage = Proxy(s3_server.ports["proxy"]).start() if s3_server else None
        stored = {}
        if self.to_storage:
            told = s3.settings(f"http://127.0.0.1:{self.to_storage.port}")
            stored = {f"LONGTAKE_{name.upper()}": value for name, value in told.items()}
        url = f"redis://127.0.0.1:{self.to_redis.port}/0"
        super().__init__(folder, valkey, forked=forked, **{"LONGTAKE_REDIS_URL": url, **stored, **settings})
        self._client = connect(Settings(redis_url=self.valkey.url))
        self.store = Store(self._client, Settings(redis_url=self.valkey.url))
        self._standing_by: list[Process] = []

    def close(self) -> None:
        super().close()
        self._client.close()
        self.to_redis.stop()
        if self.to_storage:
            self.to_storage.stop()

    def second_api(self, name: str, *, kill_at: str = "") -> int:
        """The port of one more API; with `kill_at` of one that kills itself there."""
        port, doomed = free_port(), ("tests.support.doomed", "service.store:Store") if kill_at else ()
        self.run(name, *doomed, "service.api", LONGTAKE_PORT=str(port), LONGTAKE_TEST_KILL_AT=kill_at)
        until(lambda: is_open(port), name)
        return port

    def standby(self) -> Process:
        """A render worker that is ready: the one that there was, or, where that is gone, another."""
        if not self._standing_by or not self._standing_by[-1].is_running:
            self._standing_by.append(self.worker(f"standby-{len(self._standing_by)}"))
        self._standing_by[-1].resume()
        return self._standing_by[-1]

    def count(self, section: str, name: str) -> int:
        """A figure of the store's server."""
        told: Any = self._client.info(section)
        return int(told[name])

    # What is there, past the API

    def jobs(self) -> dict[str, Job]:
        """All of them, as the store has them now."""
        return stored_jobs(self._client)

    def ends(self) -> int:
        """How many videos are at their end."""
        counted: Any = self._client.hgetall(key("counts"))
        return sum(int(count) for state, count in counted.items() if JobState(state).is_terminal)

    def events(self, video: str) -> list[str]:
        """The kinds of what was told of a video, in order."""
        rows: Any = self._client.xrange(key("events", video))
        return [fields["type"] for _, fields in rows]

    def fates(self) -> dict[str, Fate]:
        return {
            job.id: Fate(
                status=str(job.state),
                committed=self.store.committed(job.id),
                awaits=awaits(job),
                events=self.events(job.id),
            )
            for job in self.jobs().values()
        }

    def all_ended(self, seconds: float) -> None:
        """Wait until every video is at its end, whoever is down meanwhile."""

        def ended() -> bool:
            with suppress(redis.RedisError):
                return all(job.state.is_terminal for job in self.jobs().values())
            return False

        until(ended, "the end of every video", seconds)


def awaits(job: Job) -> dict[str, list[str]]:
    """The units of a job in the order of the plan, and those that each waits for."""
    graph = job.graph()
    return {unit.key: [graph.work[p].key for p in graph.awaited(at)] for at, unit in enumerate(graph.work)}


def is_open(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


class Crew:
    """So many render workers. They, and the courier, are started again when they are gone, as a supervisor does.

    With an environment they are those of `tests.support.killable`. Not only we end them: Celery does where a connection
    is lost a second time while it is being given up (kombu 5.7: "'NoneType' object has no attribute 'hostname'").
    """

    def __init__(self, grounds: Grounds, count: int, **environment: str):
        self._grounds, self._started, self._environment = grounds, 0, environment
        self._lock, self._over = threading.Lock(), threading.Event()
        self.workers = [self._another() for _ in range(count)]
        for worker in self.workers:
            until(lambda name=worker.name: grounds.beat(name) == "ready", worker.name)  # type: ignore[misc]
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._keeper.join()
        for worker in self.workers:
            worker.kill()

    def kill_one(self, rng: random.Random) -> None:
        with self._lock:
            rng.choice(self.workers).kill()

    def _keep(self) -> None:
        while not self._over.wait(0.2):
            with self._lock:
                self.workers = [self._another() if not worker.is_running else worker for worker in self.workers]
            if not self._grounds.courier.is_running:
                self._grounds.courier = self._grounds.run("deliver", "workers", "deliver")

    def _another(self) -> Process:
        self._started += 1
        module = ("tests.support.killable",) if self._environment else ("workers", "render")
        return self._grounds.run(f"worker-{self._started}", *module, **self._environment)
