"""A job store that is gone with its disk is rebuilt from object storage: no finished video and no order is missing."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.database import connect
from service.settings import Settings
from service.tenants import Tenants
from tests.support.grounds import Grounds
from tests.support.house import ROOT, until

pytestmark = pytest.mark.processes

LONG = {"num_frames": 40, "steps": 4, "refine": False, "seed": 3}


def test_everything_is_there_again(seed: int, tmp_path: Path) -> None:
    """P22, from object storage alone, at any moment."""
    rng, grounds = random.Random(seed), Grounds(tmp_path)
    try:
        settings = Settings(redis_url=grounds.valkey.url)
        with connect(settings) as client:
            _, token = Tenants(client, settings).create_key("studio")
        worker = grounds.worker("render")
        finished = [grounds.submit(num_frames=16, steps=1, refine=False, seed=number) for number in range(2)]
        before = {video: grounds.finished(video).frame_hashes for video in finished}
        twin = grounds.finished(grounds.submit(**LONG)).frame_hashes
        running = [grounds.submit(**LONG) for _ in range(2)]
        time.sleep(rng.uniform(0, 2))
        last = grounds.submit(**LONG)
        for process in (worker, grounds.courier, grounds.api):
            process.kill()
        grounds.valkey.kill()
        shutil.rmtree(grounds.valkey.folder)

        grounds.valkey.start()
        command = [sys.executable, "-m", "longtake", "rebuild"]
        told = subprocess.run(
            command, env=grounds.environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
        ).stdout
        assert told.splitlines()[-1].endswith(", 0 were there.")
        for name, module in (("api", ("service.api",)), ("deliver", ("workers", "deliver"))):
            grounds.run(f"{name}-again", *module)
        until(grounds.answers, "the API")
        grounds.worker("render-again")
        assert {video: grounds.finished(video).frame_hashes for video in finished} == before
        assert all(grounds.finished(video).frame_hashes == twin for video in (*running, last))
        answer = grounds.http.get("/v1/videos", headers={"Authorization": f"Bearer {token}"})
        assert answer.is_success
    finally:
        grounds.close()
