"""A job store that is gone with its disk is rebuilt from object storage: no finished video and no order is missing."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time

import pytest

from service.database import connect
from service.settings import Settings
from service.tenants import Tenants
from tests.support.grounds import Grounds
from tests.support.house import until
from tests.support.processes import ROOT

pytestmark = [pytest.mark.long, pytest.mark.processes]

LONG = {"num_frames": 40, "steps": 4, "refine": False, "seed": 3}


def test_everything_is_there_again(grounds: Grounds, seed: int) -> None:
    """P22, from object storage alone, at any moment."""
    rng, settings = random.Random(seed), Settings(redis_url=grounds.valkey.url)
    with connect(settings) as client:
        _, token = Tenants(client, settings).create_key(f"studio-{seed}")
    worker = grounds.standby()
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
    there = grounds.environment | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, env=there, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1].endswith(", 0 were there.")
    grounds.api = grounds.run(f"api-{seed}", "service.api")
    grounds.courier = grounds.run(f"deliver-{seed}", "workers", "deliver")
    until(grounds.answers, "the API")
    grounds.standby()
    assert {video: grounds.finished(video).frame_hashes for video in finished} == before
    assert all(grounds.finished(video).frame_hashes == twin for video in (*running, last))
    assert grounds.http.get("/v1/videos", headers={"Authorization": f"Bearer {token}"}).is_success
