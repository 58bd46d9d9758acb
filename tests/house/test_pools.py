"""Two kinds of workers in one service, as real processes: each makes the videos of its pool, and is called for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import House, until

FAST = "tiny-shapes-turbo"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, LONGTAKE_POOLS=json.dumps({FAST: "fast"}), LONGTAKE_SWEEP_INTERVAL_S="60")
    yield house
    house.close()


def test_each_pool_makes_its_own_and_waits_for_nobody_else(house: House) -> None:
    house.worker("any")
    plain, fast = house.submit(num_frames=16), house.submit(num_frames=16, model=FAST, steps=1)
    house.finished(plain)
    assert house.video(fast)["status"] == "queued"
    assert told(house, "longtake_jobs_queued", "fast") == 1
    leaving = house.worker("fast", LONGTAKE_POOL="fast", LONGTAKE_PRELOAD=FAST)
    house.finished(fast)
    spent = house.figure("any", "longtake_gpu_seconds_total")
    house.finished(house.submit(num_frames=16, model=FAST, steps=1))
    assert house.figure("any", "longtake_gpu_seconds_total") == spent
    assert leaving.stop() == 0
    house.finished(house.submit(num_frames=16))
    until(lambda: told(house, "longtake_units_running", "default") == 0, "the end of all work")


def told(house: House, name: str, pool: str) -> float:
    return house.figure("api", f'{name}{{pool="{pool}"}}')
