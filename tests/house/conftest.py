"""One house for the session, with one worker that stands by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.house import House, Process


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.close()


@pytest.fixture(scope="session")
def worker(house: House) -> Process:
    """The house's own render worker, ready."""
    return house.worker("render")


@pytest.fixture
def resting(worker: Process) -> Iterator[Process]:
    """The same worker, asleep; the test may wake it."""
    worker.pause()
    yield worker
    worker.resume()
