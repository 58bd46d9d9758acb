"""The commands that a person types, as processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import checkpoint
from tests.support.house import KEY, PROMPT, House
from tests.support.processes import ROOT
from workers import media

pytestmark = pytest.mark.processes


def longtake(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "longtake", *words],
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            **checkpoint.environment(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.mark.usefixtures("worker")
def test_generate_makes_the_frames_that_the_service_makes(house: House, folder: Path) -> None:
    done = longtake(
        folder, "generate", PROMPT, "-o", "video.mp4", "--frames", "24", "--seed", "3", "--steps", "2",
        "--no-refine",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "24 frames of 64x64, 3 s, seed 3" in done.stdout
    served = house.finished(house.submit(num_frames=24, seed=3, steps=2, refine=False))
    assert media.frame_hashes(folder / "video.mp4") == served.frame_hashes


@pytest.mark.usefixtures("worker")
def test_submit_and_watch_bring_a_video_to_a_file(house: House, folder: Path) -> None:
    at = {"LONGTAKE_URL": str(house.http.base_url), "LONGTAKE_KEY": KEY}
    asked = longtake(folder, "submit", PROMPT, "--frames", "16", "--steps", "2", "--no-refine", **at)
    assert asked.returncode == 0, asked.stderr
    watched = longtake(folder, "watch", asked.stdout.strip(), "-o", "watched.mp4", **at)
    assert watched.returncode == 0, watched.stderr
    assert len(media.frame_hashes(folder / "watched.mp4")) == 16


def test_keys_are_made_listed_and_revoked(house: House, folder: Path) -> None:
    at = {"LONGTAKE_REDIS_URL": house.valkey.url}
    token = longtake(folder, "keys", "create", "--tenant", "studio", **at).stdout.strip()
    as_studio = {"Authorization": f"Bearer {token}"}
    assert house.http.get("/v1/videos", headers=as_studio).json()["data"] == []
    listed = longtake(folder, "keys", "list", **at).stdout
    key_id = f"key_{token.split('_')[1]}"
    assert f"{key_id}  " in listed and token not in listed
    assert longtake(folder, "keys", "revoke", key_id, **at).returncode == 0
    assert house.http.get("/v1/videos", headers=as_studio).status_code == 401


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("generate", "a purple circle", "-o", "a.mp4"), "'purple' is not a colour of this model"),
        (("generate", PROMPT, "-o", "a.mp4", "--frames", "0"), "num_frames is 0"),
        (("generate", PROMPT, "-o", "a.mp4", "--size", "9x9"), "tiny-shapes makes 64x64 and 128x128"),
        (("generate", PROMPT, "-o", "a.mp4", "--model", "huge"), "There is no model 'huge'"),
        (("generate", PROMPT, "-o", "nowhere/a.mp4"), "There is no folder"),
        (("submit", PROMPT, "--key", "k", "--url", "http://127.0.0.1:9"), "No service answers at"),
        (("keys", "--data", "nowhere", "list"), "No `longtake serve` runs on nowhere"),
        (("keys", "list"), "does not answer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_fails_is_said_in_one_sentence(folder: Path, words: tuple[str, ...], sentence: str) -> None:
    failed = longtake(folder, *words, LONGTAKE_REDIS_URL="redis://127.0.0.1:9/0")
    assert failed.returncode == 1
    assert sentence in failed.stderr
    assert "Traceback" not in failed.stderr and len(failed.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["", "serve", "generate", "submit", "watch", "keys", "tenants"])
def test_every_command_has_help_with_an_example(folder: Path, command: str) -> None:
    shown = longtake(folder, *command.split(), "--help")
    assert shown.returncode == 0
    assert "Example:" in shown.stdout
