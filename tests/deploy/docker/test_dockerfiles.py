"""The images as written: of hadolint's rules, as closed as can be, of locked versions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.compose import DOCKER, IMAGES
from tests.support.images import USER, copy, pinned, sent
from tests.support.processes import ROOT

BIN = Path(sys.executable).parent

each_image = pytest.mark.parametrize("image", IMAGES)


def test_hadolint_has_nothing_against_the_dockerfiles() -> None:
    files = [f"{name}.Dockerfile" for name in IMAGES]
    judged = subprocess.run([BIN / "hadolint", "--no-color", *files], cwd=DOCKER, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


@each_image
def test_an_image_is_two_stages_of_one_pinned_slim_python(image: str) -> None:
    build, final = IMAGES[image]
    assert build.base == final.base and pinned(final.base)
    assert final.base.startswith("python:3.11.") and final.base.endswith("-slim-bookworm")
    assert final.all("COPY") == ["--from=build /opt/longtake /opt/longtake"] and not final.all("ADD")


@each_image
def test_an_image_is_nobodys_but_an_unknown_users_who_writes_nothing(image: str) -> None:
    build, final = IMAGES[image]
    names = [name for name, _ in final.lines]
    assert final.all("USER") == [f"{USER}:{USER}"] and "RUN" not in names[names.index("USER") :]
    assert final.environment["HOME"] == "/tmp" and final.environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert build.environment["PIP_NO_CACHE_DIR"] == "1"
    assert not [name for name in {**build.environment, **final.environment} if re.search("KEY|SECRET|PASSW", name)]
    assert not final.all("VOLUME") and not final.all("WORKDIR")  # from a folder of everybody Python would import


@each_image
def test_versions_are_the_locks_and_code_is_a_layer_above_them(image: str) -> None:
    build, _ = IMAGES[image]
    runs = [run for run in build.all("RUN") if "pip" in run]
    extras = {"api": "api,tracing", "worker": "worker,tracing"}[image]
    assert runs[0] == f"pip install --constraint requirements.lock '.[{extras}]'"
    assert "--no-deps" in runs[1] and len(runs) == 2
    copied = [source for value in build.all("COPY") for source in value.split()[:-1]]
    assert set(copied) == sent() and all((ROOT / source).exists() for source in copied)


def test_nothing_else_of_the_tree_reaches_an_image(tmp_path: Path) -> None:
    for name in ("docker", ".git", "tests", ".venv", "data"):
        with pytest.raises(FileNotFoundError, match="leaves"):
            copy(name, tmp_path / name, lambda path: False)


def test_the_worker_image_asks_for_a_gpus_driver_and_brings_no_second_cuda() -> None:
    final = IMAGES["worker"][-1]
    assert final.environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert final.environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert "cuda" not in " ".join(final.all("RUN"))


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="Debian's packages are asked for on Debian only")
def test_debian_has_the_packages_that_an_image_installs() -> None:
    if not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        pytest.skip("no lists of packages here; `apt-get update` fetches them")
    (line,) = IMAGES["worker"][-1].all("RUN")
    (install,) = [part.split() for part in line.split("&&") if "apt-get install" in part]
    assert "--no-install-recommends" in install and "rm -rf /var/lib/apt/lists/*" in line
    judged = subprocess.run([*install, "--dry-run"], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stderr


def test_what_the_worker_image_asks_for_is_what_the_lock_has() -> None:
    """In this environment, which is the lock's, nothing is left to install but Longtake."""
    (line,) = [run for run in IMAGES["worker"][0].all("RUN") if "--constraint" in run]
    pip = [sys.executable, "-m", *line.replace("'", "").split(), "--dry-run", "--quiet", "--report", "-"]
    made = subprocess.run(pip, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert [item["metadata"]["name"] for item in json.loads(made.stdout)["install"]] == ["longtake"]
