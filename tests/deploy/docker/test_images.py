"""What the images install and run, without an engine: their RUN lines, done in a folder, and then their commands.

Where this machine lets us have mounts of our own, a process has what compose gives it: a read-only root, an empty /tmp,
no capability, no more than its role's password. Elsewhere it runs as any other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from models import catalog
from tests.security.conftest import GuardedValkey
from tests.security.test_supply_chain import locked
from tests.support import s3
from tests.support.compose import IMAGES, SERVICES
from tests.support.house import PROMPT, until
from tests.support.images import Build, can_contain, contained, user
from tests.support.processes import ROOT, Process, Started
from tests.support.s3 import S3Server
from tests.support.servers import free_port

pytestmark = [pytest.mark.long, pytest.mark.processes, pytest.mark.timeout(600)]

API, WORKER = IMAGES["api"], IMAGES["worker"]
USERS = {"api": "api", "render": "worker", "deliver": "courier"}  # process -> user of Redis
TORCH = "import torch"
CHECK_S = 1.0  # between two health checks, of which each is a process: engines take ten times as long


@pytest.fixture(scope="session")
def api_image(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The API's build stage, from PyPI."""
    return Build(tmp_path_factory.mktemp("api-image")).do(API[0])


@pytest.fixture(scope="session")
def worker_code(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The worker's build stage without what others wrote, gigabytes, and with two of the bundled models."""
    others = {"tiny-shapes", "tiny-shapes-turbo"}
    return Build(tmp_path_factory.mktemp("worker-code")).do(
        WORKER[0],
        skip=lambda run: "--constraint" in run,
        leave_out=lambda path: path.parent.name == "checkpoints" and path.name not in others,
    )


# What is in them


def test_the_api_image_has_the_locks_versions_and_no_tensor(api_image: Build) -> None:
    told = subprocess.run([api_image.bin / "pip", "list", "--format=json"], capture_output=True, text=True, check=True)
    installed = {package["name"]: package["version"] for package in json.loads(told.stdout)}
    lock = locked()
    names = {name.lower().replace("_", "-").replace(".", "-"): version for name, version in installed.items()}
    not_locked = {"pip", "setuptools", "longtake", "async-timeout"}  # the last is redis' own before Python 3.11.3
    drifted = {n: v for n, v in names.items() if n not in not_locked and lock.get(n) != v}
    assert drifted == {} and {"fastapi", "uvicorn", "opentelemetry-sdk", "boto3"} <= names.keys()
    heavy = {"torch", "numpy", "diffusers", "transformers", "opencv-python-headless", "safetensors", "pytest"}
    assert not heavy & names.keys()
    tried = subprocess.run([api_image.bin / "python", "-c", TORCH], capture_output=True, text=True)
    assert tried.returncode != 0 and "No module named 'torch'" in tried.stderr
    assert not [file for file in api_image.files() if file.suffix == ".safetensors"]


def test_the_worker_image_has_every_file_of_the_bundled_weights_and_no_dangling_link(worker_code: Build) -> None:
    (models,) = (worker_code.folder / "opt").glob("lib/python*/site-packages/models")
    for name in ("tiny-shapes", "tiny-shapes-turbo"):
        ours, theirs = ROOT / "models/checkpoints" / name, models / "checkpoints" / name
        files = {Path(folder, file) for folder, _, names in os.walk(ours, followlinks=True) for file in names}
        for file in files:
            there = theirs / file.relative_to(ours)
            assert there.is_file() and there.stat().st_size == file.stat().st_size, there
        assert len(files) > 15
    said = subprocess.run([worker_code.bin / "longtake", "--help"], capture_output=True, text=True)
    assert "No module named" in said.stderr  # its dependencies are the layer below


# What runs in them


@dataclass
class Composed:
    """Redis, storage and the processes of compose.yaml, each with the environment of its image."""

    folder: Path
    image: Build
    storage: S3Server
    valkey: GuardedValkey
    processes: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in USERS})
    contained: bool = field(default_factory=can_contain)

    def home(self, name: str) -> Path:
        """What is /tmp in the container."""
        return self.folder / "homes" / name

    def environment(self, name: str) -> dict[str, str]:
        stage = (API if name == "api" else WORKER)[-1]
        own = {key: value.replace("/tmp", str(self.home(name))) for key, value in stage.environment.items()}
        told = {f"LONGTAKE_{key.upper()}": str(value) for key, value in s3.settings(self.storage.endpoint).items()}
        del told["LONGTAKE_S3_SECRET_ACCESS_KEY"]  # a file, as the address of Redis is
        more = {
            "LONGTAKE_SECRETS_DIR": str(self.secrets(name)),
            "LONGTAKE_PORT": str(self.ports["api"]),
            "LONGTAKE_METRICS_PORT": str(self.ports[name]),
            "LONGTAKE_PRELOAD": "tiny-shapes",
            "LONGTAKE_S3_PUBLIC_URL": self.storage.endpoint.replace("127.0.0.1", "localhost"),
            "HF_HUB_OFFLINE": "1",
            "TMPDIR": str(self.home(name)),
            "PYTHONPATH": "" if name == "api" else str(ROOT),
        }
        return {**own, **told, **more, "PATH": os.environ["PATH"]}

    def secrets(self, name: str) -> Path:
        folder = self.folder / "secrets" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "longtake_redis_url").write_text(self.valkey.url_of(USERS[name]))
            (folder / "longtake_s3_secret_access_key").write_text(s3.SECRET_KEY)
            for file in folder.iterdir():
                file.chmod(0o400)
                if os.getuid() == 0:
                    os.chown(file, user(), user())
        return folder

    def command(self, name: str, *words: str) -> list[str]:
        """In the image's Python, which for the workers is this environment: it has the lock's versions."""
        python, *rest = words
        assert python == "python"
        return [str(self.image.bin / "python") if name == "api" else sys.executable, *rest]

    def run(self, name: str, words: list[str]) -> Process:
        self.home(name).mkdir(parents=True)
        command = self.command(name, *words)
        command = contained(command, self.home(name)) if self.contained else command
        self.processes[name] = Started(name, command, self.environment(name), self.folder)
        return self.processes[name]

    def healthy(self, name: str) -> bool:
        """What its image's HEALTHCHECK says, asked from inside its container."""
        check = (API if name == "api" else WORKER)[-1].words("HEALTHCHECK")
        place = {"8000": str(self.ports["api"]), "/tmp": str(self.home(name))}
        for there, here in place.items():
            check = [word.replace(there, here) for word in check]
        command = self.command(name, *check)
        if self.contained and name in self.processes:
            command = ["nsenter", "--mount", f"--target={self.processes[name].pid}", "--", *command]
        return subprocess.run(command, env={**os.environ, **self.environment(name)}, timeout=30).returncode == 0

    def longtake(self, *words: str) -> str:
        """What `docker compose exec api longtake …` prints."""
        environment = {**os.environ, **self.environment("api")}
        command = [self.image.bin / "longtake", *words]
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def await_health(self, name: str) -> None:
        process = self.processes[name]

        def told() -> bool:
            time.sleep(CHECK_S)
            return self.healthy(name) or not process.is_running

        until(told, f"a healthy {name}", 180)
        assert self.healthy(name), process.log.read_text()[-4000:]

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.valkey.stop()


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory, api_image: Build, s3_server: S3Server) -> Iterator[Composed]:
    folder = tmp_path_factory.mktemp("composed")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/") and parent.stat().st_mode & 0o001 == 0:
            parent.chmod(0o711)  # pytest's folders are its user's; the images' user must find what it may read
    valkey = GuardedValkey(folder / "valkey")
    valkey.start()
    made = Composed(folder, api_image, s3_server, valkey)
    yield made
    made.close()


def test_a_video_is_made_by_the_images_commands_with_no_more_than_compose_gives_them(composed: Composed) -> None:
    for name in USERS:
        assert not composed.healthy(name), f"{name} before it is started"
    before = {file: file.stat().st_mtime_ns for file in composed.image.files()}

    api = composed.run("api", API[-1].words("CMD"))
    composed.run("deliver", ["python", "-m", "workers", "deliver"])
    composed.run("render", WORKER[-1].words("CMD"))
    for name in USERS:
        composed.await_health(name)

    url, key = f"http://127.0.0.1:{composed.ports['api']}", composed.longtake("keys", "create").strip()
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False) as http:
        assert http.get("/healthz").json() == {"status": "ok"} and "Longtake" in http.get("/").text
        models = {model["id"] for model in http.get("/v1/models").json()["data"]}
        assert models == catalog.offered({}).keys()
        order = {"prompt": PROMPT, "num_frames": 16, "steps": 2, "refine": False, "seed": 7}
        video = http.post("/v1/videos", json=order).raise_for_status().json()["id"]
        until(lambda: http.get(f"/v1/videos/{video}").json()["status"] in ("completed", "failed"), "a video", 180)
        assert http.get(f"/v1/videos/{video}").json()["status"] == "completed"
        elsewhere = http.get(f"/v1/videos/{video}/content")
        assert elsewhere.status_code == 307 and elsewhere.headers["location"].startswith("http://localhost:")
        assert httpx.get(elsewhere.headers["location"], trust_env=False).content[4:8] == b"ftyp"
    for name in ("render", "deliver"):
        told = httpx.get(f"http://127.0.0.1:{composed.ports[name]}/metrics", trust_env=False).text
        assert "longtake_worker_last_heartbeat_timestamp_seconds" in told

    assert {file: file.stat().st_mtime_ns for file in composed.image.files()} == before, "nothing is written there"
    with composed.valkey.witness() as witness:
        assert witness.acl_log() == []
    assert api.is_running


def test_operators_commands_work_in_the_api_image(composed: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAKE_CHECKPOINTS", '{"streaming-t2v": "/weights/streaming-t2v"}')
    said = composed.longtake("doctor")
    assert "answers" in said and "stored, read and erased an object" in said and "/weights/streaming-t2v" in said
    assert "default" in composed.longtake("tenants", "list") and "valid" in composed.longtake("keys", "list")
    assert "Bring back" in composed.longtake("rebuild", "--help")


def test_they_run_with_a_read_only_root_as_a_user_without_capabilities(composed: Composed) -> None:
    if not composed.contained:
        pytest.skip("no mounts of our own on this machine: the processes ran, but not behind a container's walls")
    for name, process in composed.processes.items():
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "\nCapEff:\t0000000000000000\n" in status and "\nCapBnd:\t0000000000000000\n" in status, name
        assert "\nNoNewPrivs:\t1\n" in status and f"\nUid:\t{user()}\t" in status
        mounts = [line.split() for line in Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()]
        writable = {mount[4] for mount in mounts if mount[5].split(",")[0] == "rw"}
        assert "/" not in writable and str(composed.home(name)) in writable


def test_who_cannot_work_is_not_healthy(composed: Composed) -> None:
    """A worker that is gone or still loads, and the API without its store; it is healthy again with it."""
    assert composed.processes, "the test before has started them"
    beat = composed.folder / "heartbeat.json"
    check = [word.replace("/tmp/heartbeat.json", str(beat)) for word in WORKER[-1].words("HEALTHCHECK")]
    for state, code in {"loading": 1, "broken": 1, "ready": 0}.items():
        beat.write_text(json.dumps({"state": state, "at": beat.parent.stat().st_mtime + 3600}))
        asked = subprocess.run(composed.command("render", *check), cwd=ROOT, capture_output=True, text=True)
        assert asked.returncode == code and (not code or state in asked.stderr)
    composed.processes["render"].pause()  # alive, and silent
    try:
        until(lambda: not composed.healthy("render"), "an unhealthy worker", 30)
    finally:
        composed.processes["render"].resume()
    composed.await_health("render")
    composed.valkey.kill()
    until(lambda: not composed.healthy("api"), "an unhealthy API", 30)
    assert composed.healthy("deliver")  # it lives, and waits
    composed.valkey.start()
    composed.await_health("api")


def test_they_leave_when_they_are_asked(composed: Composed) -> None:
    for name in ("render", "deliver", "api"):
        assert composed.processes[name].stop(30) == 0, name


@pytest.mark.skipif(
    not (shutil.which("valkey-cli") or shutil.which("redis-cli")), reason="redis-cli is not installed (redis-tools)"
)
def test_the_health_check_of_redis_says_whether_it_answers(tmp_path: Path) -> None:
    _, check = SERVICES["redis"]["healthcheck"]["test"]
    valkey = GuardedValkey(tmp_path / "valkey")
    client = shutil.which("valkey-cli") or shutil.which("redis-cli")
    asked = ["sh", "-c", check.replace("valkey-cli", f"{client} -p {valkey.port}")]
    assert subprocess.run(asked).returncode != 0
    valkey.start()
    try:
        assert subprocess.run(asked).returncode == 0
    finally:
        valkey.stop()
