"""The API as a process of its own, called over real sockets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.servers import free_port

pytestmark = pytest.mark.processes
KEY = "ltk_preset_0123456789"


@pytest.fixture
def served(redis_url: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """`python -m service.api` with a preset key; must leave with 0 when it is asked to."""
    port = free_port()
    settings = {
        "LONGTAKE_REDIS_URL": redis_url,
        "LONGTAKE_DATA_DIR": str(tmp_path),
        "LONGTAKE_PORT": str(port),
        "LONGTAKE_BOOTSTRAP_KEY": KEY,
    }
    with (tmp_path / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.api"], env={**os.environ, **settings}, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await_ready(url)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as client:
            yield client
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0, (tmp_path / "api.log").read_text()


def await_ready(url: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "the API does not start"
        time.sleep(0.05)


def test_a_fresh_service_takes_an_order_with_its_preset_key_and_logs_neither_key_nor_prompt(
    served: httpx.Client, tmp_path: Path
) -> None:
    answer = served.post("/v1/videos", json={"prompt": "a red circle moving right"})
    assert answer.status_code == 202
    assert served.get(answer.headers["location"]).json()["status"] == "queued"
    log = (tmp_path / "api.log").read_text()
    assert '"message": "video ordered"' in log and "red circle" not in log and KEY not in log
    assert served.get("/metrics").headers["content-type"].startswith("text/plain")
