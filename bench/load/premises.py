"""A house to be measured, how a bench acts there, and the figures that it brings home."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.load.open_loop import Client, request
from service.database import connect
from service.jobs import Job
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.support.house import PROMPT, House, stored_job

ORDER = {"prompt": PROMPT, "num_frames": 24, "steps": 1, "refine": False, "seed": 1}
#: As an operator would set them for tenants that order much, and otherwise as the service is served.
GENEROUS = {
    "LONGTAKE_QUEUE_LIMIT": "0",
    "LONGTAKE_TENANT_LIVE_JOBS": "0",
    "LONGTAKE_TENANT_REQUESTS_PER_MINUTE": "6000000",
    "LONGTAKE_LEASE_TTL_S": "30",
    "LONGTAKE_SWEEP_INTERVAL_S": "5",
    "LONGTAKE_LOG_FORMAT": "json",
}


@dataclass(frozen=True)
class Row:
    """A figure, and another of the same run that it is to be read beside."""

    part: str
    what: str
    unit: str
    value: float
    beside: str = ""
    base: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.base if self.base else None


class Bench:
    """One house, and what a bench does there."""

    def __init__(self, house: House):
        self.house = house
        self.settings = Settings(redis_url=house.valkey.url, tenant_live_jobs=0, queue_limit=0)
        self.redis = connect(self.settings)
        self.store, self.tenants = Store(self.redis, self.settings), Tenants(self.redis, self.settings)

    def key(self, name: str) -> str:
        return self.tenants.create_key(name)[1]

    def rss_mb(self) -> float:
        """Of the API."""
        return float(psutil.Process(self.house.api.pid).memory_info().rss) / 1e6

    def store_bytes(self) -> int:
        """Of what is kept, without the buffers of connections and the cache of scripts, which come and go."""
        told: Any = self.redis.memory_stats()
        tables = told["db.0"]
        return int(told["dataset.bytes"] + tables["overhead.hashtable.main"] + tables["overhead.hashtable.expires"])

    def job(self, video: str) -> Job:
        """As the store has it, whoever's it is."""
        return stored_job(self.redis, video)

    async def order(self, client: Client, key: str, count: int, **more: Any) -> list[str]:
        """So many videos, eight at a time: their ids."""
        sent, ids, left = request("POST", "/v1/videos", key, ORDER | more), list[str](), count

        async def take_turns() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                ids.append((await client.decoded(sent, 202))["id"])

        await asyncio.gather(*(take_turns() for _ in range(8)))
        return ids


@contextmanager
def opened(**settings: str) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), forked=False, **GENEROUS | settings)
        try:
            yield Bench(house)
        finally:
            house.close()


async def until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not come within {seconds:g} s")
        await asyncio.sleep(0.05)
