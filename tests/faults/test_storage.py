"""Object storage that resets, swallows or is killed delays a video, and never spoils one."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.objects import key, open_objects
from service.settings import Settings
from tests.support import s3
from tests.support.grounds import Grounds
from tests.support.house import until
from tests.support.processes import ROOT, Process, Started
from tests.support.proxy import Fault, Proxy
from tests.support.s3 import S3Server

pytestmark = pytest.mark.processes

LARGE = 80 * 1024 * 1024  # bytes: more than one part of an upload
PUT = """
import sys
from pathlib import Path
from service.objects import open_objects
from service.settings import Settings
open_objects(Settings()).put(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def grounds(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    made = Grounds(tmp_path_factory.mktemp("grounds"), s3_server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def worker(grounds: Grounds) -> Process:
    return grounds.worker("render")


@pytest.fixture(scope="module")
def undisturbed(grounds: Grounds, worker: Process) -> list[str]:
    return grounds.finished(grounds.submit()).frame_hashes


def test_an_upload_that_was_killed_is_never_seen_and_is_erased(s3_server: S3Server, seed: int, tmp_path: Path) -> None:
    """P12: between the parts of a file, at any moment."""
    (tmp_path / "large").write_bytes(random.Random(seed).randbytes(LARGE))
    name, client = key("tenant_A", f"video_{seed}", "video", "video.mp4"), s3_server.client()

    def uploads() -> list[object]:
        found: list[object] = client.list_multipart_uploads(Bucket=s3.BUCKET).get("Uploads", [])
        return found

    with Proxy(s3_server.ports["proxy"]) as proxy:
        told = s3.settings(f"http://127.0.0.1:{proxy.port}")
        environment = {f"LONGTAKE_{key.upper()}": value for key, value in told.items()}
        proxy.fault(Fault.DELAY, delay_s=0.01)
        command = [sys.executable, "-c", PUT, name, str(tmp_path / "large")]
        putting = Started(f"putting-{seed}", command, {**environment, "PYTHONPATH": str(ROOT)}, tmp_path)
        until(uploads, "the upload")
        time.sleep(random.Random(seed).uniform(0, 1))
        putting.kill()
    objects = open_objects(Settings(**told | {"s3_endpoint_url": s3_server.endpoint}))
    assert not objects.exists(name) and objects.list(key("tenant_A", f"video_{seed}")) == []
    assert objects.abort_stale(3600) == 0 and len(uploads()) == 1  # it may still be in work
    until(lambda: objects.abort_stale(0) == 1, "its erasure", 5)  # storage rounds the second of its beginning up
    assert uploads() == []


def test_a_video_is_whole_whatever_storage_does_meanwhile(
    grounds: Grounds, worker: Process, undisturbed: list[str], seed: int
) -> None:
    """P13."""
    rng, proxy = random.Random(seed), grounds.to_storage
    assert proxy is not None
    faults = [
        lambda: proxy.fault(Fault.RESET),
        lambda: proxy.fault(Fault.REFUSE),
        lambda: proxy.fault(Fault.BLACKHOLE),
        lambda: proxy.fault(Fault.CUT, after_bytes=rng.randrange(2000)),
        lambda: proxy.fault(Fault.DELAY, delay_s=0.2),
    ]
    video, over = grounds.submit(), threading.Event()

    def disturb() -> None:
        for fault in rng.sample(faults, 3):
            if over.wait(rng.uniform(0, 1)):
                return
            fault()
            over.wait(rng.uniform(0.2, 2))
            proxy.heal()

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        ended = grounds.ended(video, 200)
    finally:
        over.set()
        disturbing.join()
        proxy.heal()
    assert ended["status"] == "completed", ended["error"]
    assert grounds.frames(video) == undisturbed


def test_a_video_survives_storage_that_is_killed(
    grounds: Grounds, worker: Process, undisturbed: list[str], s3_server: S3Server
) -> None:
    """P13, with the servers themselves."""
    video = grounds.submit()
    until(lambda: grounds.jobs()[video].units_done >= 2, "two units")
    s3_server.kill()
    time.sleep(5)
    s3_server.start()
    assert grounds.finished(video).frame_hashes == undisturbed


def test_a_video_waits_for_room_in_storage_that_is_full(
    grounds: Grounds, worker: Process, undisturbed: list[str], s3_server: S3Server
) -> None:
    """P17: nothing is stored any more, and then somebody makes room."""
    video, told = grounds.submit(), worker.log.stat().st_size
    until(lambda: grounds.jobs()[video].units_done >= 2, "two units")
    s3_server.limit(1)
    try:
        until(lambda: b"no room left" in worker.log.read_bytes()[told:], "a refusal")
        done = grounds.jobs()[video].units_done
        time.sleep(2)
        assert grounds.jobs()[video].units_done == done
        assert grounds.http.get("/readyz").is_success and grounds.http.get(f"/v1/videos/{video}").is_success
    finally:
        s3_server.limit(None)
    assert grounds.finished(video).frame_hashes == undisturbed
