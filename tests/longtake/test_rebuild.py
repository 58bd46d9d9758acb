"""`longtake rebuild`: from the storage of the environment, or of the service that --data names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from click.testing import CliRunner

from longtake import valkey
from longtake.command import main
from service.database import connect
from service.ledger import Ledger
from service.objects import open_objects
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.conftest import make_job


@pytest.mark.parametrize("named", [True, False], ids=["--data", "environment"])
def test_videos_come_back_from_the_storage_of_that_service(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    settings = Settings(redis_url=redis_url, data_dir=tmp_path / "data")
    with connect(settings) as client:
        store = Store(client, settings)
        Tenants(client, settings).create_key()
        job, _ = store.submit(make_job())
        Ledger(client, settings, open_objects(settings)).catch_up()
        client.flushall()
        monkeypatch.chdir(tmp_path)
        if named:
            monkeypatch.setattr(valkey, "running", lambda folder: SimpleNamespace(url=redis_url))
            monkeypatch.setenv("LONGTAKE_DATA_DIR", str(tmp_path / "another"))
        else:
            monkeypatch.setenv("LONGTAKE_REDIS_URL", redis_url)
            monkeypatch.setenv("LONGTAKE_DATA_DIR", str(tmp_path / "data"))
        done = CliRunner().invoke(main, ["rebuild", *(["--data", str(tmp_path / "data")] if named else [])])
        assert done.exit_code == 0, done.output
        assert done.output.splitlines() == [
            f"{job.id}  queued: goes on",
            "0 at their end, 1 go on, 0 were there.",
        ]
        assert store.get("tenant_A", job.id).generation == job.generation


def test_a_storage_that_holds_no_service_is_refused(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_REDIS_URL", redis_url)
    monkeypatch.setenv("LONGTAKE_DATA_DIR", str(tmp_path))
    done = CliRunner().invoke(main, ["rebuild"])
    assert done.exit_code == 1 and "is it the one of that service?" in done.output
    assert not redis.Redis.from_url(redis_url).keys()
