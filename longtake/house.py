"""The processes of `longtake serve`: queue, API, render workers, delivery; which there are and when they are ready.

Knows what to start and how to see that it works; keeping it running is the supervisor's.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import click
import httpx

from longtake import valkey
from longtake.supervisor import Child, Supervisor
from models import catalog
from service.database import connect
from service.settings import Settings
from service.telemetry import StoreCollector
from service.tenants import Tenants
from workers import certificate, heartbeat
from workers.settings import WorkerSettings

READY_WITHIN_S, LOOK_EVERY_S, GIVE_UP_AFTER_RESTARTS = 180.0, 0.2, 3
SHARED = ("redis_url", "data_dir", "host", "port", "log_format", "pools")  # settings that every child is told


@dataclass
class House:
    """The processes of one machine, in the order of their start."""

    host: str
    port: int
    data: Path
    workers: int
    tell: Callable[[str], None]
    supervisor: Supervisor = field(default_factory=Supervisor)

    @property
    def url(self) -> str:
        everywhere = ("0.0.0.0", "::")  # noqa: S104 - only compared with
        return f"http://{'127.0.0.1' if self.host in everywhere else self.host}:{self.port}"

    def open(self) -> None:
        """Start everything, wait until it can take work, and print the line that says so."""
        if not can_listen(self.host, self.port):
            raise click.ClickException(f"Port {self.port} of {self.host} is in use; choose another with --port.")
        for folder in ("logs", "run"):
            (self.data / folder).mkdir(parents=True, exist_ok=True)
        self.start_redis()
        for child in self.children():
            self.beat(child.name).unlink(missing_ok=True)
            self.supervisor.start(child)
            self.tell(f"{child.name}: {child.log}")
        self.await_ready()
        click.echo(f"ready {self.url} key {key_to_show(self.settings)}")

    @cached_property
    def server(self) -> valkey.PrivateValkey | None:
        """A private Valkey, unless the environment names a server."""
        named = "redis_url" in Settings().model_fields_set
        return None if named else valkey.PrivateValkey.prepare(self.data / "valkey")

    @cached_property
    def settings(self) -> Settings:
        """The settings of the environment, with what this command decides."""
        given = Settings()
        own: dict[str, object] = {"data_dir": self.data, "host": self.host, "port": self.port}
        own["pools"] = {}  # the workers of one machine are of one kind
        if self.server:
            own["redis_url"] = self.server.url
        if "log_format" not in given.model_fields_set:
            own["log_format"] = "text"  # on one machine a person reads the logs
        return given.model_copy(update=own)

    def start_redis(self) -> None:
        if self.server:
            self.supervisor.start(Child("valkey", self.server.command, {}, self.data / "logs/valkey.log"))
            self.server.await_ready()

    def children(self) -> Iterator[Child]:
        python, logs = [sys.executable, "-m"], self.data / "logs"
        shared = {f"LONGTAKE_{name.upper()}": str(getattr(self.settings, name)) for name in SHARED}
        yield Child("api", [*python, "service.api"], shared, logs / "api.log")
        for name in self.worker_names:
            role = name.split("-")[0]
            own = {
                "LONGTAKE_HEARTBEAT_FILE": str(self.beat(name)),
                "LONGTAKE_METRICS_PORT": str(valkey.free_port()),
                "LONGTAKE_PRELOAD": catalog.DEFAULT_MODEL,
                **self.signer,
            }
            yield Child(name, [*python, "workers", role], {**own, **shared}, logs / f"{name}.log")

    @cached_property
    def signer(self) -> dict[str, str]:
        """Where the certificate is that videos are signed with: one of our own, unless the environment names one."""
        if WorkerSettings().c2pa_certificate is not None:
            return {}
        chain, key = certificate.ensure(self.data / "c2pa")
        return {"LONGTAKE_C2PA_CERTIFICATE": str(chain), "LONGTAKE_C2PA_KEY": str(key)}

    @property
    def worker_names(self) -> list[str]:
        return [*(f"render-{i + 1}" for i in range(self.workers)), "deliver"]

    def beat(self, name: str) -> Path:
        return self.data / "run" / f"{name}.json"

    def await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while missing := self.missing():
            self.tend()
            broken = [c for c in self.supervisor.children if c.restarts >= GIVE_UP_AFTER_RESTARTS]
            if broken or time.monotonic() > deadline:
                name = broken[0].name if broken else missing[0]
                raise click.ClickException(f"{name} does not start; see {self.data}/logs/{name}.log.")
            time.sleep(LOOK_EVERY_S)

    def missing(self) -> list[str]:
        """Who cannot take work yet."""
        beats = {name: heartbeat.read(self.beat(name)) for name in self.worker_names}
        if broken := [name for name, beat in beats.items() if beat and beat["state"] == "broken"]:
            raise click.ClickException(f"{broken[0]} cannot work; see {self.data}/logs/{broken[0]}.log.")
        silent = [name for name, beat in beats.items() if beat is None or beat["state"] != "ready"]
        return silent if api_answers(self.url) else ["api", *silent]

    def tend(self) -> None:
        """Start again what has died, and say so."""
        for line in self.supervisor.tend():
            self.tell(line)

    def summary(self) -> str:
        """What there is to do and what is done, in a line; empty while the queue does not answer."""
        found = {metric.name: metric.samples for metric in self.figures.collect()}
        if "longtake_jobs" not in found:
            return ""
        counts = {
            "queued": sum(sample.value for sample in found["longtake_jobs_queued"]),
            "running": sum(sample.value for sample in found["longtake_jobs_running"]),
            **{sample.labels["outcome"]: sample.value for sample in found["longtake_jobs"]},
        }
        return ", ".join(f"{number:.0f} {state}" for state, number in counts.items() if number)

    @cached_property
    def figures(self) -> StoreCollector:
        return StoreCollector(connect(self.settings), self.settings)

    def close(self) -> None:
        """Those that work first, together; the queue last."""
        self.supervisor.stop_together([c for c in self.supervisor.children if c.name != "valkey"])
        self.supervisor.stop()


def api_answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def key_to_show(settings: Settings) -> str:
    """The key of LONGTAKE_BOOTSTRAP_KEY, or a new one at the first start; an old one is not shown again."""
    if settings.bootstrap_key:
        return settings.bootstrap_key.get_secret_value()
    tenants = Tenants(connect(settings), settings)
    known = tenants.keys()
    valid = [key for key in known if key.opens_at(time.time())]
    if not valid:
        return tenants.create_key(name="first start")[1]
    return f"ltk_{valid[-1].id.removeprefix('key_')}_... (shown when it was made; `longtake keys` makes more)"


def can_listen(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
