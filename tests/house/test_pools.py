"""Two kinds of workers in one service, as real processes: each makes the videos of its pool, and is called for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import House, until
from tests.support.processes import Process

POOLS = {"tiny-shapes-turbo": "fast"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, LONGTAKE_POOLS=json.dumps(POOLS))
    yield house
    house.close()


def units(house: House, worker: str) -> float:
    return house.figure(worker, "longtake_gpu_seconds_total")


def test_each_pool_makes_its_own_and_waits_for_nobody_else(house: House) -> None:
    house.worker("any")
    plain, fast = house.submit(num_frames=16), house.submit(num_frames=16, model="tiny-shapes-turbo", steps=1)
    house.finished(plain)
    assert house.video(fast)["status"] == "queued"
    assert _told(house, "longtake_jobs_queued", "fast") == 1
    taken: Process = house.worker("fast", LONGTAKE_POOL="fast", LONGTAKE_PRELOAD="tiny-shapes-turbo")
    house.finished(fast)
    before = units(house, "any")
    house.finished(house.submit(num_frames=16, model="tiny-shapes-turbo", steps=1))
    assert units(house, "any") == before
    taken.stop()
    house.finished(house.submit(num_frames=16))
    until(lambda: _told(house, "longtake_units_running", "fast") == 0, "the end of its work")


def _told(house: House, name: str, pool: str) -> float:
    return house.figure("api", f'{name}{{pool="{pool}"}}')
