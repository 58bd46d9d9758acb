"""What docker/prepare.sh makes of a machine, and that the containers find it there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.compose import COMPOSE, DOCKER, EXAMPLE, OWN, SERVICES, filled, secrets_of, user_of
from tests.support.servers import free_port


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """docker/prepare.sh, with a chown that only writes down what it was asked."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "bin").mkdir()
    (folder / "bin/chown").write_text(f'#!/bin/sh\necho "$@" >>{folder}/owners\n')
    (folder / "bin/chown").chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    for _ in range(2):  # the second time it finds everything there
        subprocess.run([DOCKER / "prepare.sh", folder / "data"], env=environment, check=True)
        made = sorted((f.name, f.read_text()) for f in (folder / "data/secrets").iterdir())
        (folder / "made").write_text((folder / "made").read_text() if (folder / "made").exists() else repr(made))
        assert (folder / "made").read_text() == repr(made), "what is there stays"
    return folder


def test_who_mounts_something_can_read_it_and_nobody_else(prepared: Path) -> None:
    owners: dict[Path, int] = {}
    for line in (prepared / "owners").read_text().splitlines():
        who, *files = line.split()
        owners |= {Path(file): int(who.split(":")[0]) for file in files}
    variables = EXAMPLE | {"DATA": str(prepared / "data")}
    for secret, told in COMPOSE["secrets"].items():
        file = Path(filled(told["file"], variables))
        readers = {user_of(name) for name in SERVICES if secret in secrets_of(name)}
        assert readers == {owners[file]} and file.stat().st_mode & 0o077 == 0, secret
        assert len(file.read_text().strip()) >= 64, secret
    for name, told in SERVICES.items():
        for volume in (v for v in filled(told.get("volumes", []), variables) if isinstance(v, dict)):
            place = Path(volume["source"])
            assert place.is_dir() and volume["bind"] == {"create_host_path": False}
            open_to_all = place.stat().st_mode & 0o005 == 0o005
            assert open_to_all if volume.get("read_only") else owners[place] == user_of(name)
    assert (prepared / "data/secrets").stat().st_mode & 0o777 == 0o711
    assert (prepared / "data/objects").stat().st_mode & 0o777 == 0o700


def test_the_urls_of_redis_and_of_the_storage_lead_to_them(prepared: Path) -> None:
    for role in ("api", "worker", "courier"):
        url = (prepared / f"data/secrets/{role}.url").read_text()
        assert re.fullmatch(rf"redis://{role}:[0-9a-f]{{64}}@redis:6379/0\n", url)
    told = SERVICES["storage"]["environment"]
    for name in OWN:
        ours = filled(SERVICES[name]["environment"])
        assert ours["LONGTAKE_S3_ENDPOINT_URL"] == f"http://storage{told['VGW_PORT']}"
        assert ours["LONGTAKE_S3_ACCESS_KEY_ID"] == told["ROOT_ACCESS_KEY_ID"]
        bucket = ours["LONGTAKE_STORAGE_URL"].removeprefix("s3://")
        assert (prepared / "data/objects" / bucket).is_dir()
        listens = filled(SERVICES["storage"]["ports"][0])
        assert ours["LONGTAKE_S3_PUBLIC_URL"] == f"http://{listens.removesuffix(told['VGW_PORT'])}"


def test_the_storage_is_started_over_its_folder_with_the_key_of_its_file(prepared: Path, tmp_path: Path) -> None:
    shell, flags, script = filled(SERVICES["storage"]["entrypoint"])
    (tmp_path / "versitygw").write_text('#!/bin/sh\necho "$ROOT_SECRET_ACCESS_KEY $*"\n')
    (tmp_path / "versitygw").chmod(0o755)
    key = prepared / "data/secrets/storage.key"
    script = script.replace(secrets_of("storage")["storage_key"], str(key))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run([shell, flags, script], env=environment, capture_output=True, text=True, check=True).stdout
    (volume,) = SERVICES["storage"]["volumes"]
    assert said == f"{key.read_text()} posix {volume['target']}\n"
    gone = subprocess.run([shell, flags, script.replace(str(key), "/nowhere")], env=environment, capture_output=True)
    assert gone.returncode != 0 and gone.stdout == b""


@pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not installed")
def test_the_health_checks_of_others_ask_where_they_listen() -> None:
    storage, grafana = (SERVICES[name]["healthcheck"]["test"] for name in ("storage", "grafana"))
    told = SERVICES["storage"]["environment"]
    assert storage[-1] == f"http://127.0.0.1{told['VGW_PORT']}{told['VGW_HEALTH']}"
    assert grafana[-1] == f"http://127.0.0.1:{SERVICES['grafana']['ports'][0].split(':')[-1]}/api/health"
    silent = [*storage[1:-1], "--tries=1", f"http://127.0.0.1:{free_port()}/"]
    assert subprocess.run(silent, capture_output=True).returncode != 0
