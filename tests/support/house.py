"""The whole service as real processes: Valkey, API, delivery, render workers.

Short times throughout (a lease of 2 s, a sweep every half second), so that what takes minutes in service takes
seconds here. Ends by pid what it has started, and nothing else.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import redis

from service.jobs import Job
from service.keys import key
from service.records import read_job
from tests.support import checkpoint
from tests.support.processes import EARLY, Forked, Process, Started
from tests.support.servers import Valkey, free_port
from workers import heartbeat, media

KEY = "ltk_house_of_tests"
PROMPT = "a red circle moving right on a black background"


@dataclass(frozen=True)
class Finished:
    """A completed video and the digest of each of its frames."""

    video: dict[str, Any]
    frame_hashes: list[str]


class House:
    """Everything but the workers starts at once; workers as a test needs them. Without `forked` all start as users'."""

    def __init__(self, folder: Path, valkey: Valkey | None = None, *, forked: bool = True, **settings: str):
        self.forked, self.folder, self.port, self.metrics_ports = forked, folder, free_port(), dict[str, int]()
        self.valkey = valkey or Valkey(folder / "valkey").start()
        self.environment = {
            "LONGTAKE_REDIS_URL": self.valkey.url,
            "LONGTAKE_DATA_DIR": str(folder / "data"),
            "LONGTAKE_PORT": str(self.port),
            "LONGTAKE_BOOTSTRAP_KEY": KEY,
            "LONGTAKE_LEASE_TTL_S": "2",
            "LONGTAKE_SWEEP_INTERVAL_S": "0.5",
            "LONGTAKE_REST_S": "0.5",
            "LONGTAKE_WEBHOOK_ALLOW_PRIVATE": "*",
            "LONGTAKE_WEBHOOK_RETRY_SCHEDULE_S": "0,0.2,0.2,0.2",
            "LONGTAKE_PRELOAD": "tiny-shapes",
            "LONGTAKE_LOG_FORMAT": "text",
            **checkpoint.environment(folder),
            **settings,
        }
        self.processes: list[Process] = []
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=20.0,
            trust_env=False,
        )
        self.api = self.run("api", "service.api")
        self.courier = self.run("deliver", "workers", "deliver")
        until(lambda: self.answers() and heartbeat.read(self.folder / "deliver.json"), "API and delivery")

    # Processes

    def run(self, name: str, *module: str, **environment: str) -> Process:
        self.metrics_ports[name] = free_port()
        own = {
            "LONGTAKE_HEARTBEAT_FILE": str(self.folder / f"{name}.json"),
            "LONGTAKE_METRICS_PORT": str(self.metrics_ports[name]),
        }
        everything = self.environment | own | environment
        process: Process
        if self.forked and not EARLY & everything.keys():
            process = Forked(name, module, everything, self.folder)
        else:
            process = Started(name, [sys.executable, "-m", *module], everything, self.folder)
        self.processes.append(process)
        return process

    def worker(self, name: str, *, kill_at: str = "", **environment: str) -> Process:
        """A render worker with its model loaded; with `kill_at` one that kills itself there, or with LONGTAKE_TEST_…"""
        is_real = not kill_at and not any(name.startswith("LONGTAKE_TEST_") for name in environment)
        module = ("workers", "render") if is_real else ("tests.support.killable",)
        process = self.run(name, *module, LONGTAKE_TEST_KILL_AT=kill_at, **environment)
        until(lambda: self.beat(name) in ("ready", "broken"), f"worker {name}")
        assert self.beat(name) == "ready", process.log.read_text()[-2000:]
        return process

    def beat(self, name: str) -> str | None:
        said = heartbeat.read(self.folder / f"{name}.json")
        return said["state"] if said else None

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.http.get("/readyz").is_success
        return False

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
        self.valkey.stop()
        self.http.close()

    # Videos

    def submit(self, **body: Any) -> str:
        """A short, refined video unless the body says otherwise."""
        short = {"prompt": PROMPT, "num_frames": 32, "seed": 7, "steps": 2, "refine": {"steps": 2}}
        answer = self.http.post("/v1/videos", json=short | body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def video(self, video_id: str) -> dict[str, Any]:
        decoded: dict[str, Any] = self.http.get(f"/v1/videos/{video_id}").raise_for_status().json()
        return decoded

    def ended(self, video_id: str, seconds: float = 120.0) -> dict[str, Any]:
        terminal = ("completed", "failed", "cancelled")
        until(lambda: self.video(video_id)["status"] in terminal, f"the end of {video_id}", seconds)
        return self.video(video_id)

    def finished(self, video_id: str) -> Finished:
        video = self.ended(video_id)
        assert video["status"] == "completed", video["error"]
        return Finished(video, self.frames(video_id))

    def frames(self, video_id: str, variant: str = "video") -> list[str]:
        target = self.folder / f"{video_id}.mp4"
        target.write_bytes(self.content(video_id, variant))
        return media.frame_hashes(target)

    def content(self, video_id: str, variant: str = "video") -> bytes:
        path = f"/v1/videos/{video_id}/content"
        answer = self.http.get(path, params={"variant": variant}, follow_redirects=True)
        return answer.raise_for_status().content

    def metrics(self, name: str) -> str:
        url = "/metrics" if name == "api" else f"http://127.0.0.1:{self.metrics_ports[name]}/metrics"
        return self.http.get(url).raise_for_status().text

    def figure(self, process: str, name: str) -> float:
        """The highest value of a metric at a process, over its labels; 0 where it is absent."""
        lines = [line for line in self.metrics(process).splitlines() if line.startswith(name)]
        return max((float(line.rsplit(" ", 1)[1]) for line in lines), default=0.0)


def stored_job(client: redis.Redis, video: str) -> Job:
    """As the store has it, past the API, whoever's it is."""
    told: Any = client.hgetall(key("job", video))
    assert told, f"{video} is not there"
    return read_job(told)


def stored_jobs(client: redis.Redis) -> dict[str, Job]:
    """All that there are, by the ids of their videos."""
    names: Any = client.scan_iter(key("job", "*"))
    return {video: stored_job(client, video) for video in (name.rsplit(":", 1)[1] for name in names)}


def until(true: Any, what: str, seconds: float = 120.0) -> None:
    """Wait for it; AssertionError where it does not come."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.05)
