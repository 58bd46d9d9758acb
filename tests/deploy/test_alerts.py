"""Every alert is fired by a fault in a service that runs, and is quiet before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.deploy.test_observability import ALERTS, needs_prometheus
from tests.support.grounds import Grounds
from tests.support.house import until
from tests.support.proxy import Fault
from tests.support.s3 import S3Server
from tests.support.servers import free_port
from tests.support.watch import Watch

WITHIN_S = 120.0  # of a fault, on a busy machine
SETTLED_S = 20.0  # the window of averages here


@pytest.fixture
def grounds(tmp_path: Path, s3_server: S3Server) -> Iterator[Grounds]:
    """Storage is given up after a second, and a webhook that nobody takes is posted again ten minutes later."""
    retries = {"LONGTAKE_WEBHOOK_RETRY_SCHEDULE_S": "0,600", "LONGTAKE_STORAGE_PATIENCE_S": "1"}
    made = Grounds(tmp_path / "grounds", s3_server, **retries)
    yield made
    made.close()


class Alarm:
    """Waits for alerts while something is done, and knows which have been."""

    def __init__(self, watch: Watch):
        self._watch, self.seen = watch, set[str]()

    def fires(self, *alerts: str, doing: Callable[[], object] = lambda: None) -> None:
        assert not {*alerts} & self._watch.firing(), "before its fault"
        until(lambda: doing() or {*alerts} <= self._watch.firing(), " and ".join(alerts), WITHIN_S)
        self.seen |= {*alerts}

    def rests(self, *alerts: str) -> None:
        until(lambda: not {*alerts} & self._watch.firing(), f"the end of {' and '.join(alerts)}", WITHIN_S)


@needs_prometheus
@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(900)
def test_every_alert_fires_when_its_fault_is_there(grounds: Grounds, tmp_path: Path) -> None:
    def video(**more: object) -> None:
        grounds.ended(grounds.submit(num_frames=16, refine=False, **more))

    def stop_and_go() -> None:
        worker.pause()
        time.sleep(2.5)  # longer than a lease
        worker.resume()
        time.sleep(1.5)

    def ask() -> None:
        with suppress(httpx.HTTPError):
            grounds.http.get("/v1/videos")

    assert grounds.to_storage
    worker = grounds.worker("render")
    watch = Watch(grounds, tmp_path / "prometheus")
    alarm = Alarm(watch)
    try:
        until(lambda: watch.up() == 3, "Prometheus and its three targets", 60)
        begun = time.monotonic()
        until(lambda: video() or time.monotonic() > begun + SETTLED_S, "videos")
        assert watch.firing() == set()

        grounds.to_storage.fault(Fault.DELAY, delay_s=0.5)
        alarm.fires("LongtakeStorageSlow", "LongtakeSlower", doing=video)
        grounds.to_storage.heal()

        for _ in range(3):
            video(webhook={"url": f"http://127.0.0.1:{free_port()}/"})  # nobody listens
        alarm.fires("LongtakeWebhookBacklog")

        worker.pause()
        grounds.submit()
        alarm.fires("LongtakeWorkerDown", "LongtakeNothingMoves")
        worker.resume()
        alarm.fires("LongtakeQueueSlow")
        alarm.rests("LongtakeWorkerDown", "LongtakeNothingMoves")
        grounds.submit(num_frames=960)
        alarm.fires("LongtakeLeasesLost", doing=stop_and_go)

        grounds.to_storage.fault(Fault.REFUSE)
        alarm.fires("LongtakeStorageErrors", "LongtakeVideosFail", doing=video)
        grounds.to_storage.heal()

        worker.kill()
        port = str(grounds.metrics_ports["render"])
        lost = grounds.run("lost", "tests.support.killable", LONGTAKE_TEST_LOSES="every", LONGTAKE_METRICS_PORT=port)
        alarm.fires("LongtakeWorkerUnfit", doing=video)
        lost.kill()

        grounds.run("mute", "tests.support.killable", LONGTAKE_TEST_MUTE="yes", LONGTAKE_METRICS_PORT=port)
        alarm.fires("LongtakeWorkerSilent")

        grounds.valkey.kill()
        alarm.fires("LongtakeStoreDown", "LongtakeApiErrors", doing=ask)
        grounds.api.kill()
        alarm.fires("LongtakeApiDown")
    finally:
        watch.close()
    assert alarm.seen == set(ALERTS)
