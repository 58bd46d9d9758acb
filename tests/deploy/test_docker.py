"""Images and compose file as written: of their specifications, as closed as can be, and naming only what there is.

That they work is tested beside this, in test_images.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from models import catalog
from service.api.__main__ import options
from service.settings import Settings
from tests.support.images import USER, copy, pinned, sent, stages
from tests.support.processes import ROOT
from tests.support.servers import free_port
from workers.app import ROLES
from workers.settings import WorkerSettings

DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent
IMAGES = {name: stages(DOCKER / f"{name}.Dockerfile") for name in ("api", "worker")}
TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = {name: value or "" for name, value in dotenv_values(DOCKER / ".env.example", interpolate=False).items()}
OWN = {"api": "api", "render": "worker", "render-cpu": "worker", "deliver": "worker"}  # service -> our image
WORKERS = [name for name, image in OWN.items() if image == "worker"]
CLIENTS = {"api", "render", "render-cpu", "deliver"}  # of Redis and of the storage
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)\}")

each_image = pytest.mark.parametrize("image", IMAGES)
each_service = pytest.mark.parametrize("service", SERVICES)


def filled(value: Any, variables: dict[str, str] = EXAMPLE) -> Any:
    """What compose makes of a value."""
    if isinstance(value, dict):
        return {key: filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, variables) for each in value]
    return VARIABLE.sub(lambda m: variables[m[1]], value).replace("$$", "$") if isinstance(value, str) else value


def user_of(service: str) -> int:
    """Whom a container runs as, by number."""
    if service in OWN:
        return int(IMAGES[OWN[service]][-1].all("USER")[-1].split(":")[0])
    return int(SERVICES[service]["user"].split(":")[0])


def secrets_of(service: str) -> dict[str, str]:
    """Secret -> the file in the container that has it."""
    told = [s if isinstance(s, dict) else {"source": s} for s in SERVICES[service].get("secrets", ())]
    return {s["source"]: str(Path("/run/secrets", s.get("target", s["source"]))) for s in told}


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


# By others' rules


def test_hadolint_has_nothing_against_the_dockerfiles() -> None:
    files = [f"{name}.Dockerfile" for name in IMAGES]
    judged = subprocess.run([BIN / "hadolint", "--no-color", *files], cwd=DOCKER, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_the_compose_file_is_of_the_compose_specification() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    judged = subprocess.run(command, cwd=DOCKER, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


# Images


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


# Containers


@each_service
def test_a_container_can_change_nothing_and_become_nobody(service: str) -> None:
    told = SERVICES[service]
    assert told["read_only"] is True and told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "pid", "ipc", "network_mode", "devices", "userns_mode"} & told.keys()
    assert user_of(service) > 0 and told["pids_limit"] > 0
    assert "docker.sock" not in json.dumps(told)


@each_service
def test_a_container_is_kept_running_watched_and_stopped_with_patience(service: str) -> None:
    told = SERVICES[service]
    assert told["restart"] == "unless-stopped" and told["init"] is True and "stop_grace_period" in told
    assert told["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "healthcheck" in told or IMAGES[OWN[service]][-1].all("HEALTHCHECK")
    assert "start_period" in told.get("healthcheck", {"start_period": 0})
    for other, how in told.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"} and other in SERVICES


def test_nobody_is_stopped_in_the_middle() -> None:
    grace = {name: seconds(told["stop_grace_period"]) for name, told in SERVICES.items()}
    settings = WorkerSettings()
    assert grace["api"] > options(settings)["timeout_graceful_shutdown"]
    assert grace["deliver"] > settings.webhook_timeout_s
    for name in ("render", "render-cpu"):  # what is being stored may wait for storage that is away
        assert grace[name] > settings.storage_patience_s + settings.lease_ttl_s


@each_service
def test_an_image_is_one_version_and_ours_is_this_release(service: str) -> None:
    image = filled(SERVICES[service]["image"])
    assert pinned(image)
    if service in OWN:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert image == f"longtake-{OWN[service]}:{version}"
        build = SERVICES[service]["build"]
        assert build["context"] == ".." and build["dockerfile"] == f"docker/{OWN[service]}.Dockerfile"
        assert build.get("args", {}).keys() == {arg.split("=")[0] for arg in IMAGES[OWN[service]][0].all("ARG")}


# Who reaches whom


def networks_of(service: str) -> set[str]:
    return set(SERVICES[service]["networks"])


def neighbours(service: str) -> set[str]:
    return {other for other in SERVICES if other != service and networks_of(other) & networks_of(service)}


def test_only_the_api_and_the_workers_reach_redis() -> None:
    assert neighbours("redis") == CLIENTS and networks_of("redis") == {"store"}
    assert neighbours("storage") == CLIENTS
    assert neighbours("grafana") == {"prometheus"}
    assert neighbours("prometheus") == CLIENTS | {"grafana"}


def test_only_who_must_reaches_the_world() -> None:
    outward = {name for name, how in COMPOSE["networks"].items() if not how.get("internal")}
    assert outward == {"world", "shown"} and set().union(*map(networks_of, SERVICES)) == set(COMPOSE["networks"])
    assert {name for name in SERVICES if networks_of(name) & outward} == {"api", "deliver", "storage", "grafana"}


def test_three_ports_are_published_and_on_this_machine_only() -> None:
    ports = {name: told["ports"] for name, told in SERVICES.items() if "ports" in told}
    assert ports.keys() == {"api", "storage", "grafana"}
    assert all(re.fullmatch(r"\$\{LISTEN\}:\$\{[A-Z]+_PORT\}:\d+", port) for (port,) in ports.values())
    assert EXAMPLE["LISTEN"] == "127.0.0.1"
    final = IMAGES["api"][-1]
    assert filled(ports["api"]) == [f"127.0.0.1:{Settings().port}:{final.all('EXPOSE')[0]}"]
    assert final.environment["LONGTAKE_HOST"] == "0.0.0.0"


def test_a_secret_is_a_file_of_those_who_need_it_and_no_variable() -> None:
    holders = {secret: {name for name in SERVICES if secret in secrets_of(name)} for secret in COMPOSE["secrets"]}
    assert holders == {
        "users_acl": {"redis"},
        "api_url": {"api"},
        "worker_url": {"render", "render-cpu"},
        "courier_url": {"deliver"},
        "storage_key": CLIENTS | {"storage"},
        "grafana_password": {"grafana"},
    }
    for name in SERVICES:
        told = SERVICES[name].get("environment", {})
        secret = {key for key in told if re.search(r"SECRET|PASSWORD|REDIS_URL|TOKEN", key)}
        assert secret <= {"GF_SECURITY_ADMIN_PASSWORD__FILE"}, name
    for name in OWN:
        fields = {Path(file).name.removeprefix("longtake_") for file in secrets_of(name).values()}
        assert fields == {"redis_url", "s3_secret_access_key"}
        assert {str(Path(file).parent) for file in secrets_of(name).values()} == {str(Settings().secrets_dir)}


# Names of what there is


def test_variables_of_the_compose_file_are_those_of_the_example_each_explained() -> None:
    used = set(VARIABLE.findall(TEXT)) | {"COMPOSE_PROFILES"}  # which compose reads by itself
    assert used == EXAMPLE.keys()
    assert not re.search(r"\$\{\w+[^}\w]", TEXT)  # a default here would hide that one is not set
    lines = (DOCKER / ".env.example").read_text().splitlines()
    paragraphs = "\n".join(lines).split("\n\n")
    for paragraph in (p for p in paragraphs if "=" in p):
        assert paragraph.startswith("# "), paragraph


def test_every_setting_that_is_named_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (*DOCKER.glob("*.*"), DOCKER / ".env.example", ROOT / "docs/docker.md"):
        named = {name.lower() for name in re.findall(r"\bLONGTAKE_([A-Z0-9_]+)", file.read_text())}
        assert named <= WorkerSettings.model_fields.keys(), file.name
    for name in [name for name in os.environ if name.startswith("LONGTAKE_")]:
        monkeypatch.delenv(name)
    for service, kind in {"api": Settings, **dict.fromkeys(WORKERS, WorkerSettings)}.items():
        with monkeypatch.context() as patch:
            given = {**IMAGES[OWN[service]][-1].environment, **filled(SERVICES[service]["environment"])}
            for name in given.keys() - {"PATH", "HOME", "LOGNAME"}:
                patch.setenv(name, given[name])
            settings = kind(s3_secret_access_key="of a file")
            assert {f"LONGTAKE_{name.upper()}" for name in settings.model_fields_set} >= {
                name for name in given if name.startswith("LONGTAKE_")
            }
            assert settings.checkpoints == {} and settings.video_ttl_s == 0
    assert EXAMPLE["LONGTAKE_PRELOAD"] == catalog.DEFAULT_MODEL


def test_every_file_that_is_mounted_is_there_and_used() -> None:
    mounted = {}
    for told in SERVICES.values():
        mounted |= {config["source"]: config["target"] for config in told.get("configs", ())}
    assert mounted.keys() == COMPOSE["configs"].keys()
    for config in COMPOSE["configs"].values():
        assert (DOCKER / config["file"]).is_file(), config
    prometheus = SERVICES["prometheus"]["command"]
    assert f"--config.file={mounted['prometheus']}" in prometheus
    rules = yaml.safe_load((ROOT / "deploy/observability/prometheus.yml").read_text())["rule_files"]
    assert [str(Path(mounted["prometheus"]).with_name(name)) for name in rules] == [mounted["rules"]]
    assert SERVICES["redis"]["command"] == ["valkey-server", mounted["redis_conf"]]
    asked = re.search(r"^aclfile (\S+)$", (DOCKER / "redis.conf").read_text(), re.MULTILINE)
    assert asked and secrets_of("redis")["users_acl"] == asked[1]
    assert SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"


def test_grafana_is_provisioned_with_our_dashboard_and_where_its_figures_are() -> None:
    mounted = {config["source"]: config["target"] for config in SERVICES["grafana"]["configs"]}
    for name, folder in {"datasource": "datasources", "dashboards": "dashboards"}.items():
        assert Path(mounted[f"grafana_{name}"]).parent == Path("/etc/grafana/provisioning", folder)
    (source,) = yaml.safe_load((DOCKER / "grafana/datasource.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090" and source["type"] == "prometheus" and source["isDefault"]
    (provider,) = yaml.safe_load((DOCKER / "grafana/dashboards.yaml").read_text())["providers"]
    shown = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert provider["options"]["path"] == str(Path(shown).parent) and mounted["grafana_dashboard"] == shown


def test_prometheus_finds_everybody_it_asks() -> None:
    scraped = yaml.safe_load((ROOT / "deploy/observability/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for scrape in scraped for config in scrape["static_configs"] for target in config["targets"]}
    there = {"api:8000"}
    for name in WORKERS:
        told = SERVICES[name]["environment"]
        assert told["LONGTAKE_METRICS_HOST"] == "0.0.0.0"
        networks = SERVICES[name]["networks"]
        called = networks["figures"].get("aliases", [name]) if isinstance(networks, dict) else [name]
        there |= {f"{host}:{told['LONGTAKE_METRICS_PORT']}" for host in called}
    assert targets == there and all("figures" in networks_of(name) for name in OWN)


def test_either_a_gpu_renders_or_the_cpu() -> None:
    assert {name: told["profiles"] for name, told in SERVICES.items() if "profiles" in told} == {
        "render": ["gpu"],
        "render-cpu": ["cpu"],
    }
    assert EXAMPLE["COMPOSE_PROFILES"] in ("gpu", "cpu")
    (device,) = filled(SERVICES["render"]["deploy"])["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": [EXAMPLE["GPU"]], "capabilities": ["gpu"]}
    assert "deploy" not in SERVICES["render-cpu"]
    assert SERVICES["render-cpu"]["environment"]["LONGTAKE_DEVICE"] == "cpu"


def test_commands_are_roles_that_there_are() -> None:
    roles = {name: told["command"] for name, told in SERVICES.items() if name in WORKERS}
    assert roles == {
        name: ["python", "-m", "workers", role]
        for name, role in {"render": "render", "render-cpu": "render", "deliver": "deliver"}.items()
    }
    assert {command[-1] for command in roles.values()} == ROLES.keys()
    assert IMAGES["worker"][-1].words("CMD") == roles["render"]
    assert IMAGES["api"][-1].words("CMD") == ["python", "-m", "service.api"]
    beat = IMAGES["worker"][-1].environment["LONGTAKE_HEARTBEAT_FILE"]
    assert IMAGES["worker"][-1].words("HEALTHCHECK") == ["python", "-m", "workers.heartbeat", beat]


def test_what_is_written_goes_to_memory_or_to_a_volume() -> None:
    for name, told in SERVICES.items():
        places = [v["target"] if isinstance(v, dict) else v.split(":")[1] for v in told.get("volumes", ())]
        memory = [mount.split(":")[0] for mount in told.get("tmpfs", ())]
        if name in OWN:
            assert memory == ["/tmp"] and set(places) <= {"/weights"}, name
            assert Path(IMAGES[OWN[name]][-1].environment["HOME"]) == Path("/tmp")
    used = {v.split(":")[0] for told in SERVICES.values() for v in told.get("volumes", ()) if isinstance(v, str)}
    assert used == COMPOSE["volumes"].keys()
    assert "--storage.tsdb.path=/prometheus" in SERVICES["prometheus"]["command"]
    for name in ("render", "render-cpu"):
        (weights,) = SERVICES[name]["volumes"]
        assert weights["read_only"] and "exec" in SERVICES[name]["tmpfs"][0]


# What is made on the machine


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


def test_the_page_names_what_there_is() -> None:
    page = (ROOT / "docs/docker.md").read_text()
    for name in re.findall(r"(?<![\w./-])(?:docker|deploy|tests)/[\w./-]+\w", page):
        assert (ROOT / name).exists() or (ROOT / f"{name}.example").exists(), name
    for service in re.findall(r"docker compose (?:exec|run --rm|logs|stop|restart) (?:-\w+ )*([\w-]+)", page):
        assert service in SERVICES, service
