"""The processes of the house, as pods: their settings, commands, images, ports, probes, and the time they are given."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from models import catalog
from models.memory import presets
from service import queue
from service.api.__main__ import options
from service.api.app import create_app
from service.settings import DEFAULT_POOL, Settings
from tests.support.manifests import (
    API,
    DEFAULT_GRACE_S,
    DELIVER,
    FOLDER,
    OVERLAYS,
    PAGE,
    POOL,
    RENDER,
    SECRETS,
    container,
    containers,
    environment,
    lasts_s,
    of_kind,
    ours,
    pods,
    ports,
    renderer,
    renderers,
    role,
    settings,
)
from tests.support.processes import ROOT
from workers.app import ROLES
from workers.heartbeat import STALE_S
from workers.settings import WorkerSettings

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
NEW_S = -600  # the age of a heartbeat that stays new, however slow the machine


def test_every_setting_is_one_that_its_process_reads_and_takes(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = "LONGTAKE_"
    for name, pod in ours(overlay).items():
        own = {each["name"] for each in container(pod)["env"] if each["name"].startswith(prefix)}
        known = {f"{prefix}{field.upper()}" for field in (Settings if name == API else WorkerSettings).model_fields}
        assert own <= known, name
        everybodys = {variable for variable in environment(overlay, pod) if variable.startswith(prefix)}
        assert everybodys <= {f"{prefix}{field.upper()}" for field in WorkerSettings.model_fields}, name
        (keys,) = {source["prefix"] for source in container(pod)["envFrom"] if "secretRef" in source}
        assert {keys + name for name in re.findall("--from-file=([A-Z_]+)", PAGE)} < SECRETS
        assert settings(overlay, name, monkeypatch).storage_url, name


def test_every_role_is_deployed_with_a_command_that_there_is(overlay: str) -> None:
    started = {}
    for name, pod in ours(overlay).items():
        python, option, module, *words = container(pod)["command"]
        assert (python, option) == ("python", "-m")
        assert importlib.util.find_spec(f"{module}.__main__"), module
        started[name] = (module, *words)
    roles = {API: ("service.api",), **{f"longtake-{name}": ("workers", name) for name in ROLES}}
    assert started == {name: roles[role(pod)] for name, pod in ours(overlay).items()}
    assert {role(pod) for pod in ours(overlay).values()} == set(roles)


def test_images_are_those_of_this_release_and_named_in_one_place(overlay: str) -> None:
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    worker = f"longtake-worker:{release}"
    images = {API: f"longtake-api:{release}", RENDER: worker, DELIVER: worker}
    for pod in ours(overlay).values():
        assert container(pod)["image"] == images[role(pod)]
    naming = [file for file in FOLDER.rglob("*.yaml") if "newTag:" in file.read_text()]
    assert naming == [FOLDER / "components/images/kustomization.yaml"]
    assert all(
        re.search(r":[0-9]+\.[0-9]+\.[0-9]+$", each["image"])
        for pod in pods(overlay).values()
        for each in containers(pod)
    )


def test_ports_are_those_that_the_processes_listen_on(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, pod in ours(overlay).items():
        set_to = settings(overlay, name, monkeypatch)
        listens = {"http": set_to.port} if name == API else {"metrics": set_to.metrics_port}
        assert ports(pod) == listens, name
        assert (set_to.host if name == API else set_to.metrics_host) == "0.0.0.0"
    for pod in pods(overlay).values():
        for each in containers(pod):
            asked = [probe.get(way) for probe in map(each.get, PROBES) if probe for way in ("httpGet", "tcpSocket")]
            assert {way["port"] for way in asked if way} <= set(ports(pod))


def test_the_api_is_asked_at_routes_that_it_has(overlay: str) -> None:
    api = container(pods(overlay)[API])
    paths = {probe: api[probe]["httpGet"]["path"] for probe in PROBES}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/healthz", "livenessProbe": "/healthz"}
    assert set(paths.values()) <= routes()


def routes() -> set[str]:
    app = create_app(Settings())
    return {*app.openapi()["paths"], *(path for route in app.routes if (path := getattr(route, "path", "")))}


def test_users_reach_every_route_but_those_of_the_operator(overlay: str) -> None:
    for ingress in of_kind(overlay, "Ingress").values():
        passed = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        exact = {path["path"] for path in passed if path["pathType"] == "Exact"}
        below = tuple(f"{path['path']}/" for path in passed if path["pathType"] == "Prefix")
        kept_back = {route for route in routes() if route not in exact and not f"{route}/".startswith(below)}
        assert kept_back == {"/healthz", "/readyz", "/metrics"}
        assert {path["backend"]["service"]["name"] for path in passed} <= set(of_kind(overlay, "Service"))
        hosts = {host for each in ingress["spec"]["tls"] for host in each["hosts"]}
        (configuration,) = {environment(overlay, pod)["LONGTAKE_PUBLIC_URL"] for pod in ours(overlay).values()}
        assert {f"https://{host}" for host in hosts} == {configuration}
        assert {rule["host"] for rule in ingress["spec"]["rules"]} == hosts


@pytest.mark.parametrize(("state", "age_s", "started", "lives"), [
    ("ready", NEW_S, True, True),
    ("loading", NEW_S, False, True),
    ("broken", NEW_S, False, False),
    ("ready", 2 * STALE_S, False, False),
    (None, NEW_S, False, False),
])  # fmt: skip
def test_probes_read_what_a_heartbeat_says(
    state: str | None, age_s: float, started: bool, lives: bool, tmp_path: Path
) -> None:
    beat = tmp_path / "heartbeat.json"
    if state:
        beat.write_text(json.dumps({"state": state, "at": time.time() - age_s}))
    for name, pod in ours("tiny").items():
        if name == API:
            continue
        told = environment("tiny", pod)["LONGTAKE_HEARTBEAT_FILE"]
        for probe, passes in (("startupProbe", started), ("livenessProbe", lives and (started or name == RENDER))):
            python, *words = container(pod)[probe]["exec"]["command"]
            assert python == "python" and told in words
            here = [str(beat) if word == told else word for word in words]
            asked = subprocess.run([sys.executable, *here], cwd=ROOT, check=False)
            assert (asked.returncode == 0) == passes, (name, probe)


def test_a_child_that_is_begun_anew_is_waited_for(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in map(renderer, renderers(overlay)):
        app = queue.make_celery(settings(overlay, name, monkeypatch))
        render = container(pods(overlay)[name])
        assert lasts_s(render["livenessProbe"]) >= app.conf.worker_proc_alive_timeout + STALE_S
        deadline_s = of_kind(overlay, "Deployment")[name]["spec"]["progressDeadlineSeconds"]
        assert deadline_s > lasts_s(render["startupProbe"])


def test_who_is_asked_to_leave_has_the_time_for_it(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grace = {
        name: pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_S) for name, pod in ours(overlay).items()
    }
    set_to = settings(overlay, RENDER, monkeypatch)
    before = container(pods(overlay)[API])["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace[API] >= before + options(settings(overlay, API, monkeypatch))["timeout_graceful_shutdown"]
    assert {grace[renderer(pool)] for pool in renderers(overlay)} == {grace[RENDER]}
    assert grace[RENDER] >= set_to.storage_patience_s + set_to.lease_ttl_s
    assert grace[DELIVER] >= 2 * set_to.webhook_timeout_s  # a batch in work, and one that was just begun
    assert not any(
        "preStop" in container(pod).get("lifecycle", {}) for name, pod in ours(overlay).items() if name != API
    )


def test_weights_are_where_the_workers_look_and_every_process_offers_the_same(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = {json.dumps(settings(overlay, name, monkeypatch).checkpoints) for name in ours(overlay)}
    assert len(placed) == 1
    for pool, pod in renderers(overlay).items():
        set_to, render = settings(overlay, renderer(pool), monkeypatch), container(pod)
        model = catalog.placed(catalog.find(set_to.preload, catalog.offered(set_to.checkpoints)), set_to.checkpoints)
        assert set_to.pool_of(model.name) == set_to.pool  # what it loads at the start is what it is called for
        read_only = [mount["mountPath"] for mount in render["volumeMounts"] if mount.get("readOnly")]
        for name, folder in set_to.checkpoints.items():
            if set_to.pool_of(name) == set_to.pool:
                assert any(Path(folder).is_relative_to(path) for path in read_only), folder
        gpus = render["resources"]["limits"].get("nvidia.com/gpu", 0)
        if model.checkpoint in set_to.checkpoints:
            assert gpus == 1 and set_to.memory in presets.PRESETS  # all workers the same, not each what fits
            assert set_to.pool or overlay.startswith(f"{model.name}-")
            assert "nvidia.com/gpu.product" in pod["spec"]["nodeSelector"]
        else:
            assert gpus == 0


def test_every_pool_has_workers_and_their_name_says_whose_they_are(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {json.dumps(settings(overlay, name, monkeypatch).pools) for name in ours(overlay)}
    assert len(told) == 1
    pools = {*json.loads(told.pop()).values()}
    assert set(renderers(overlay)) == pools | {DEFAULT_POOL}
    for pool in renderers(overlay):
        own = settings(overlay, renderer(pool), monkeypatch).pool or DEFAULT_POOL
        labels = of_kind(overlay, "Deployment")[renderer(pool)]["spec"]["selector"]["matchLabels"]
        assert own == labels[POOL] == pool


def test_the_gpus_of_overlays_hold_their_preset() -> None:
    gib = {"NVIDIA-L4": 24, "NVIDIA-A100-SXM4-80GB": 80}
    for overlay in OVERLAYS:
        for pod in renderers(overlay).values():
            if card := pod["spec"].get("nodeSelector", {}).get("nvidia.com/gpu.product"):
                preset = environment(overlay, pod)["LONGTAKE_MEMORY"]
                assert preset and presets.find(preset).card_gib <= gib[card], overlay
