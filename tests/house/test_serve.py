"""`longtake serve`: starts, says when it can work, goes on where it stopped, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import c2pa
import httpx
import psutil
import pytest

from longtake.supervisor import die_with_parent
from tests.support import checkpoint
from tests.support.house import PROMPT, until
from tests.support.processes import ROOT
from tests.support.servers import free_port

pytestmark = pytest.mark.processes

KEY = "ltk_chosen_before_the_start"


class Served:
    """One `longtake serve`, spoken to over HTTP alone."""

    def __init__(self, folder: Path, *options: str, **environment: str):
        self.data = folder / "data"
        command = [sys.executable, "-m", "longtake", "serve", "--port", str(free_port()), "--data", str(self.data)]
        self.popen = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            env={
                **os.environ,
                **checkpoint.environment(folder),
                "PYTHONPATH": str(ROOT),
                "LONGTAKE_LEASE_TTL_S": "2",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=(folder / "serve.log").open("ab"),
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        assert self.popen.stdout is not None
        self.line = self.popen.stdout.readline()
        _, self.url, _, self.key, *_ = [*self.line.split(), "", "", "", ""]

    def call(self, method: str, path: str, **request: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.request(method, self.url + path, headers=headers, trust_env=False, **request)  # type: ignore[arg-type]

    def status(self, video_id: str) -> str:
        return str(self.call("GET", f"/v1/videos/{video_id}").json()["status"])

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children(recursive=True)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(60)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*options: str, **environment: str) -> Served:
        started.append(Served(tmp_path, *options, **environment))
        return started[-1]

    yield start
    for served in started:
        if served.popen.poll() is None:
            served.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for the tests from here on. The last of them kills it."""
    served = Served(tmp_path_factory.mktemp("served"), LONGTAKE_BOOTSTRAP_KEY=KEY)
    yield served
    if served.popen.poll() is None:
        served.stop()


def gone(processes: list[psutil.Process]) -> bool:
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_it_stops_cleanly_and_goes_on_with_what_was_in_work(serve: Callable[..., Served]) -> None:
    first = serve()
    assert first.line.startswith("ready http://127.0.0.1:")
    assert first.key.startswith("ltk_")
    order = {"prompt": PROMPT, "num_frames": 80, "steps": 8, "refine": False}
    video = first.call("POST", "/v1/videos", json=order).json()["id"]
    until(lambda: first.call("GET", f"/v1/videos/{video}").json()["frames"] >= 16, "the first chunk")
    family = first.family()
    assert len(family) >= 5  # queue, API, delivery, a worker and its child
    assert first.stop(signal.SIGINT) == 0
    assert gone(family)

    again = serve()
    assert first.key not in again.line  # it is shown once
    again.key = first.key
    until(lambda: again.status(video) == "completed", "the end")
    assert again.stop() == 0


def test_what_it_makes_is_signed_with_a_certificate_of_its_own(served: Served) -> None:
    order = {"prompt": PROMPT, "num_frames": 16, "steps": 1, "refine": False}
    video = served.call("POST", "/v1/videos", json=order).json()["id"]
    until(lambda: served.status(video) == "completed", "the end")
    signed = served.call("GET", f"/v1/videos/{video}/content").content
    reader = c2pa.Reader("video/mp4", io.BytesIO(signed))
    assert reader.get_validation_state() == "Valid"
    assert video in reader.json()
    key = served.data / "c2pa" / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    secret = key.read_text().splitlines()[1]
    logs = [*(served.data / "logs").iterdir(), served.data.parent / "serve.log"]
    assert all(secret not in log.read_text() for log in logs)


def test_a_start_that_cannot_be_is_refused_in_one_sentence(served: Served, tmp_path: Path) -> None:
    folder, port = served.data.parent, served.url.rsplit(":", 1)[1]
    same_folder = Served(folder)
    same_port = Served(folder, "--data", str(tmp_path / "other"), "--port", port)
    assert (same_folder.popen.wait(30), same_port.popen.wait(30)) == (1, 1)
    said = (folder / "serve.log").read_text()
    assert "Another `longtake serve` runs on" in said
    assert f"Port {port} of 127.0.0.1 is in use" in said


def test_it_is_not_brought_down_by_a_child_that_dies(served: Served) -> None:
    assert served.key == KEY
    named = {" ".join(child.cmdline()): child for child in served.family()}
    for name, child in named.items():
        if name.endswith(("workers render", "service.api")) or "valkey-server" in name:
            child.kill()
    order = {"prompt": PROMPT, "num_frames": 16, "steps": 2, "refine": False}

    def accepted() -> bool:
        try:
            return served.call("POST", "/v1/videos", json=order).is_success
        except httpx.TransportError:
            return False

    until(accepted, "the API")
    video = served.call("GET", "/v1/videos").json()["data"][0]["id"]  # the newest
    until(lambda: served.status(video) == "completed", "the end")


def test_nothing_outlives_a_supervisor_that_is_killed(served: Served) -> None:
    family = served.family()
    assert len(family) >= 5
    served.stop(signal.SIGKILL)
    until(lambda: gone(family), "the end of every process", 30.0)
