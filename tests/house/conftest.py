"""One house for the session, with one worker that stands by."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.house import House
from tests.support.processes import Process


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


@pytest.fixture(scope="module")  # while it is open an event loop runs, and no other test could have its own
def browser() -> Iterator[Browser]:
    """Chromium as the machine has it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here; on Debian `apt-get install chromium`")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])  # root has no sandbox
        yield opened
        opened.close()
