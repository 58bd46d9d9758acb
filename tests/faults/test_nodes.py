"""API, storage, Redis and workers on hosts of their own: one worker's host is cut off, and one worker is drained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.database import connect
from service.jobs import Job
from service.settings import Settings
from service.store import Store
from tests.support import network, s3
from tests.support.house import House, stored_job, stored_jobs, until
from tests.support.network import Network
from tests.support.processes import Process
from tests.support.s3 import S3Server
from tests.support.servers import Valkey
from workers import heartbeat

pytestmark = [
    pytest.mark.long,
    pytest.mark.processes,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why := network.lacks()), reason=why),
    pytest.mark.skipif(not s3.is_installed(), reason="the S3 server is not installed: make s3-server"),
]
#: Chunks of seconds, by the bundled model: what is lost or given back is in the middle of one.
ORDER: dict[str, Any] = {"num_frames": 48, "steps": 12, "refine": False}
OUT_S = 2.0  # a worker's way out besides its unit, on two cores that do much else


class Fleet:
    """A house on several hosts. This thread is on the API's, as an operator would be."""

    def __init__(self, folder: Path):
        self.wire = Network("redis", "storage", "api", "one", "two", "three")
        self._on_hosts = ExitStack()
        with self.wire["redis"].in_():
            valkey = Valkey(folder / "valkey", None, "--bind", "0.0.0.0", "--protected-mode", "no").start()
        with self.wire["storage"].in_():
            self._storage = S3Server(folder / "s3", bind="0.0.0.0").start()
            self._storage.client().create_bucket(Bucket=s3.BUCKET)
        self._on_hosts.enter_context(self.wire["api"].in_())
        at = {name: self.wire[name].address for name in ("redis", "storage")}
        told = s3.settings(f"http://{at['storage']}:{self._storage.ports['proxy']}")
        told["redis_url"] = f"redis://{at['redis']}:{valkey.port}/0"
        environment = {f"LONGTAKE_{name.upper()}": value for name, value in told.items()}
        self.house = House(folder, valkey, forked=False, LONGTAKE_CHECKPOINTS="{}", **environment)
        self._client = connect(Settings(**told))
        self.store = Store(self._client, Settings(**told))

    def start(self, name: str) -> Process:
        """A render worker on the host of that name."""
        with self.wire[name].in_():
            return self.house.worker(name)

    def job(self, video: str) -> Job:
        return stored_job(self._client, video)

    def at_work(self, name: str) -> list[str]:
        """The videos of which the worker on that host has a unit, by the store."""
        said = heartbeat.read(self.house.folder / f"{name}.json")
        assert said is not None, f"worker {name} is silent"
        jobs = stored_jobs(self._client).values()
        return [job.id for job in jobs if any(work.worker == said["worker"] for work in job.working.values())]

    def close(self) -> None:
        self._client.close()
        self.house.close()
        self._storage.kill()
        self._on_hosts.close()
        self.wire.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


def test_a_host_that_is_cut_off_and_a_worker_that_is_drained_harm_no_video(
    fleet: Fleet, record_property: Callable[[str, object], None]
) -> None:
    """P3, P4 and P8, across a network: what the lost one had is made by another, what the drained one had at once."""
    one = fleet.start("one")
    undisturbed = fleet.house.finished(fleet.house.submit(**ORDER))

    two = fleet.start("two")
    videos = [fleet.house.submit(**ORDER) for _ in range(2)]
    until(lambda: all(fleet.job(video).frames for video in videos), "the first chunk of each")
    until(lambda: fleet.at_work("one") and fleet.at_work("two"), "both at work")
    (lost,) = fleet.at_work("one")
    fleet.wire.cut_off("one")
    cut_at = time.monotonic()
    until(lambda: not fleet.at_work("one"), "the unit of the lost worker taken from it")
    record_property("cut off: seconds until its unit was free again", time.monotonic() - cut_at)
    before = fleet.job(lost).units_done
    until(lambda: fleet.job(lost).units_done > before, "the video going on without it")
    assert not all(fleet.job(video).state.is_terminal for video in videos), "too soon done to be drained: more frames"

    three = fleet.start("three")
    until(lambda: fleet.at_work("two"), "the one to be drained at work")
    (given_back,) = fleet.at_work("two")
    asked_at = time.monotonic()
    assert two.stop() == 0
    drained_s = time.monotonic() - asked_at
    until(lambda: fleet.at_work("three"), "another at work")
    record_property("drained: seconds until it was gone", drained_s)

    ended = [fleet.house.finished(video) for video in videos]
    assert [video.frame_hashes for video in ended] == [undisturbed.frame_hashes] * 2
    committed = [done for video in videos for done in fleet.store.committed(video)]
    assert drained_s < max(done.seconds for done in committed) + OUT_S
    assert fleet.job(given_back).state == "completed"

    three.stop()
    fleet.wire.join("one")
    again = fleet.house.finished(fleet.house.submit(**ORDER | {"num_frames": 16}))  # by the one that was away
    assert again.frame_hashes == undisturbed.frame_hashes[:16]
    assert one.is_running
