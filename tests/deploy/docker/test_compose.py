"""The compose file as written: of its specification, as closed as can be, and naming only what there is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from models import catalog
from service.api.__main__ import options
from service.settings import Settings
from tests.support.compose import (
    COMPOSE,
    DOCKER,
    EXAMPLE,
    IMAGES,
    OWN,
    SERVICES,
    TEXT,
    VARIABLE,
    WORKERS,
    filled,
    networks_of,
    secrets_of,
    user_of,
)
from tests.support.images import pinned
from tests.support.processes import ROOT
from workers.app import ROLES
from workers.settings import WorkerSettings

BIN = Path(sys.executable).parent

each_service = pytest.mark.parametrize("service", SERVICES)


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def test_the_compose_file_is_of_the_compose_specification() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    judged = subprocess.run(command, cwd=DOCKER, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


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


def test_the_page_names_what_there_is() -> None:
    page = (ROOT / "docs/docker.md").read_text()
    for name in re.findall(r"(?<![\w./-])(?:docker|deploy|tests)/[\w./-]+\w", page):
        assert (ROOT / name).exists() or (ROOT / f"{name}.example").exists(), name
    for service in re.findall(r"docker compose (?:exec|run --rm|logs|stop|restart) (?:-\w+ )*([\w-]+)", page):
        assert service in SERVICES, service
