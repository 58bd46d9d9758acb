"""`longtake doctor` on machines that lack one thing each: it names that thing, says how to mend it, and fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from longtake.command import main
from models import catalog, families
from models.families.family import Facts
from models.loading import BUNDLED
from service import additions
from tests.support.servers import Valkey, free_port
from tests.support.tiny import drift
from workers import certificate

Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("durable")) as started:
        yield started


@pytest.fixture
def ask(server: Valkey, tmp_path: Path) -> Ask:
    """The doctor on a machine where all is well but for these settings."""

    def asked(*words: str, **settings: str) -> Result:
        well = {"redis_url": server.url, "data_dir": str(tmp_path / "data"), "device": "cpu"}
        told = {f"LONGTAKE_{name.upper()}": value for name, value in (well | settings).items()}
        return CliRunner().invoke(main, ["doctor", *words], env={"COLUMNS": "300", **told})

    return asked


def test_where_all_is_well_nothing_is_wrong(ask: Ask, tmp_path: Path) -> None:
    chain, key = certificate.ensure(tmp_path / "signer")
    told = ask(c2pa_certificate=str(chain), c2pa_key=str(key))
    assert told.exit_code == 0, told.output
    grades = dict(line.split()[:2] for line in told.stdout.replace("job store", "store").splitlines())
    fine = {"store", "durability", "storage", "ffmpeg", "models", "signing"}
    assert {about for about, grade in grades.items() if grade == "fine"} == fine
    assert grades["device"] == "note" and "too slow for the published ones" in told.stdout
    assert "encodes avc1." in told.stdout and "tiny-shapes" in told.stdout
    assert [file for file in (tmp_path / "data").rglob("*") if file.is_file()] == []  # the probe is gone


@pytest.mark.parametrize(
    ("settings", "named", "mended"),
    [
        ({"redis_url": f"redis://127.0.0.1:{free_port()}/0"}, "Connection refused", "Start Redis or Valkey there"),
        ({"storage_url": "file:///proc/nowhere"}, "file:///proc/nowhere", "Check LONGTAKE_STORAGE_URL"),
        ({"checkpoints": '{"streaming-t2": "x"}'}, "'streaming-t2'", "Did you mean streaming-t2v?"),
        ({"checkpoints": '{"svd": "/tmp"}'}, "holds no model_index.json", "longtake convert"),
        ({"pools": '{"streaming-t2": "a100"}'}, "'streaming-t2'", "Did you mean streaming-t2v?"),
        ({"device": "cuda"}, "LONGTAKE_DEVICE=cuda", "needs a torch that was built for it"),
        ({"device": "tpu"}, "LONGTAKE_DEVICE=tpu", "LONGTAKE_DEVICE is `auto`"),
        ({"c2pa_certificate": "/no.pem", "c2pa_key": "/no.key"}, "/no.pem", "docs/policy.md"),
    ],
)
def test_what_is_wrong_is_named_and_how_to_mend_it(ask: Ask, settings: dict[str, str], named: str, mended: str) -> None:
    told = ask(**settings)
    assert told.exit_code == 1 and told.stderr.startswith("Error: 1 of ")
    lines = told.stdout.splitlines()
    (at,) = [i for i, line in enumerate(lines) if " wrong " in line]
    assert named in lines[at] and "→" in lines[at + 1] and mended in lines[at + 1]


def test_storage_that_does_not_answer_says_what_it_said(ask: Ask) -> None:
    s3 = {"s3_endpoint_url": f"http://127.0.0.1:{free_port()}", "s3_access_key_id": "a", "s3_secret_access_key": "b"}
    told = ask(storage_url="s3://bucket/prefix", **s3)
    assert told.exit_code == 1 and "Could not connect to the endpoint URL" in told.stdout


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [("--appendonly", "no", "are lost with Redis"), ("--maxmemory-policy", "allkeys-lru", "videos are evicted")],
)
def test_a_store_that_would_lose_videos_is_wrong(ask: Ask, tmp_path: Path, option: str, value: str, says: str) -> None:
    with Valkey(tmp_path / "careless", None, option, value) as careless:
        told = ask(redis_url=careless.url)
    assert told.exit_code == 1 and says in told.stdout and "docker/redis.conf" in told.stdout


def test_a_password_that_does_not_fit_is_wrong_and_not_shown(ask: Ask, tmp_path: Path) -> None:
    with Valkey(tmp_path / "guarded", None, "--requirepass", "right") as guarded:
        told = ask(redis_url=guarded.url.replace("//", "//:hunter2hunter2@"))
    assert told.exit_code == 1 and "LONGTAKE_REDIS_URL" in told.stdout
    assert "hunter2" not in told.output


def test_without_a_store_of_ones_own_there_is_one_to_start(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("service.settings.Settings.model_fields_set", set())
    told = ask(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert told.exit_code == 0 and "`longtake serve` starts a store of its own" in told.stdout


def test_a_machine_for_the_api_alone_lacks_no_worker(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "numpy", "workers.media", "workers.provenance"):
        monkeypatch.setitem(sys.modules, name, None)
    told = ask()
    assert told.exit_code == 0, told.output
    assert told.stdout.count("the parts of a worker are not installed") == 2


def test_models_that_were_added_are_looked_for_and_their_family_too(ask: Ask, tmp_path: Path) -> None:
    family = {"families_dir": str(drift.write_family(tmp_path / "families"))}
    added = tmp_path / "models.json"
    checkpoint, found = drift.build(tmp_path / "drifting"), Facts({"_class_name": "DriftPipeline"})
    families.look_in(Path(family["families_dir"]))
    additions.write(added, [families.known()["drift"].describe("drifting", str(checkpoint), found)])
    told = ask(models_file=str(added), **family)
    assert f"drifting: {checkpoint}" in told.stdout and ", drifting can be asked for" in told.stdout
    (checkpoint / "model_index.json").unlink()
    gone = ask(models_file=str(added), **family)
    assert gone.exit_code == 1 and "holds no model_index.json" in gone.stdout
    strange = ask(models_file=str(added))
    assert strange.exit_code == 1 and "drifting is of the family drift" in strange.stdout
    assert "longtake models add" in strange.stdout
    families.look_in(None)
    catalog.enter([])


def test_another_folder_s_weights_are_named(ask: Ask) -> None:
    told = ask(checkpoints=f'{{"streaming-t2v": "{BUNDLED / "tiny-shapes"}"}}')
    assert told.exit_code == 0
    assert "tiny-controlnet-canny, streaming-t2v can be asked for" in told.stdout
