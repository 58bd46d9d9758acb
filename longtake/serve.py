"""`longtake serve`: everything on one machine, with no server to install.

A private Valkey, the API, render workers and a delivery worker, each a process with its own log, watched over
by this one. What is in work when it stops is continued at the next start on the same folder.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import httpx

from longtake import valkey
from longtake.supervisor import Child, Stopped, Supervisor, stop_signals
from models import catalog
from service.database import connect
from service.settings import Settings
from service.tenants import Tenants
from workers import heartbeat

READY_WITHIN_S, TEND_EVERY_S, GIVE_UP_AFTER_RESTARTS = 180.0, 0.2, 3


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Where videos, queue and logs are kept.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Render workers.")
def serve(host: str, port: int, data: Path, workers: int) -> None:
    """Run everything on this machine: API, render workers, delivery, and a private Valkey unless
    LONGTAKE_REDIS_URL names a server. Ctrl-C stops it; the next start goes on with what was in work.

    \b
    Example:
      longtake serve --port 8000 --data data
    """
    with owned(data), stop_signals():
        house = House(host, port or valkey.free_port(), data.absolute(), workers)
        try:
            house.open()
            while True:
                time.sleep(TEND_EVERY_S)
                tell(house.supervisor.tend())
        except Stopped:
            tell(["stopping"])
        except valkey.NoValkey as error:
            raise click.ClickException(str(error)) from error
        finally:
            house.close()
    tell(["stopped"])


@dataclass
class House:
    """The processes of one machine, in the order of their start."""

    host: str
    port: int
    data: Path
    workers: int
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
        environment = {"LONGTAKE_DATA_DIR": str(self.data), **self.start_redis()}
        for child in self.children(environment):
            self.supervisor.start(child)
            tell([f"{child.name}: {child.log}"])
        self.await_ready()
        settings = Settings().model_copy(update={"redis_url": environment["LONGTAKE_REDIS_URL"]})
        click.echo(f"ready {self.url} key {key_to_show(settings)}")

    def start_redis(self) -> dict[str, str]:
        """A private Valkey, unless there is a server."""
        if url := os.environ.get("LONGTAKE_REDIS_URL"):
            return {"LONGTAKE_REDIS_URL": url}
        server = valkey.PrivateValkey.prepare(self.data / "valkey")
        self.supervisor.start(Child("valkey", server.command, {}, self.data / "logs/valkey.log"))
        server.await_ready()
        return {"LONGTAKE_REDIS_URL": server.url}

    def children(self, environment: dict[str, str]) -> Iterator[Child]:
        python, logs = [sys.executable, "-m"], self.data / "logs"
        place = {"LONGTAKE_HOST": self.host, "LONGTAKE_PORT": str(self.port)}
        yield Child("api", [*python, "service.api"], {**environment, **place}, logs / "api.log")
        for name in self.worker_names:
            role = name.split("-")[0]
            own = {
                "LONGTAKE_HEARTBEAT_FILE": str(self.beat(name)),
                "LONGTAKE_METRICS_PORT": str(valkey.free_port()),
                "LONGTAKE_PRELOAD": catalog.DEFAULT_MODEL,
            }
            yield Child(name, [*python, "workers", role], {**own, **environment}, logs / f"{name}.log")

    @property
    def worker_names(self) -> list[str]:
        return [*(f"render-{i + 1}" for i in range(self.workers)), "deliver"]

    def beat(self, name: str) -> Path:
        return self.data / "run" / f"{name}.json"

    def await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        for name in self.worker_names:
            self.beat(name).unlink(missing_ok=True)
        while missing := self.missing():
            tell(self.supervisor.tend())
            broken = [c for c in self.supervisor.children if c.restarts >= GIVE_UP_AFTER_RESTARTS]
            if broken or time.monotonic() > deadline:
                name = broken[0].name if broken else missing[0]
                raise click.ClickException(f"{name} does not start; see {self.data}/logs/{name}.log.")
            time.sleep(TEND_EVERY_S)

    def missing(self) -> list[str]:
        """Who cannot take work yet."""
        beats = {name: heartbeat.read(self.beat(name)) for name in self.worker_names}
        if broken := [name for name, beat in beats.items() if beat and beat["state"] == "broken"]:
            raise click.ClickException(f"{broken[0]} cannot work; see {self.data}/logs/{broken[0]}.log.")
        silent = [name for name, beat in beats.items() if beat is None or beat["state"] != "ready"]
        return silent if api_answers(self.url) else ["api", *silent]

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
    valid = [key for key in known if key.revoked_at is None]
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


@contextmanager
def owned(data: Path) -> Iterator[None]:
    """Hold the folder: two services on one queue file would destroy it."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(f"Another `longtake serve` runs on {data}.") from None
        yield


def tell(lines: list[str]) -> None:
    for line in lines:
        click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)
