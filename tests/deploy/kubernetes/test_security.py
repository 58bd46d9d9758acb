"""Every pod may do nothing that it need not, and no secret is written down: also of the pods to come."""

from __future__ import annotations

import json
import re

import kubernetes_validate
import yaml

from service.redaction import redact
from tests.support.manifests import (
    API,
    DELIVER,
    FOLDER,
    NEWEST,
    OLDEST,
    RENDER,
    SECRETS,
    Object,
    built,
    container,
    containers,
    of_kind,
    ours,
    pods,
    policies,
    role,
)
from tests.support.processes import ROOT
from workers.app import ROLES


def test_nobody_is_let_into_the_namespace_who_is_not_restricted(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace").values()
    labels = namespace["metadata"]["labels"]
    modes = {mode: labels.get(f"pod-security.kubernetes.io/{mode}") for mode in ("enforce", "audit", "warn")}
    assert modes == dict.fromkeys(modes, "restricted")


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


def test_each_role_has_the_redis_user_of_its_own(overlay: str) -> None:
    users = {API: "api", RENDER: "worker", DELIVER: "courier"}
    for name, pod in ((role(pod), pod) for pod in ours(overlay).values()):
        (url,) = [each for each in container(pod)["env"] if each["name"] == "LONGTAKE_REDIS_URL"]
        assert url["valueFrom"]["secretKeyRef"] == {"name": "longtake-redis", "key": f"{users[name]}.url"}
        assert f"user {users[name]} on" in (ROOT / "docker/users.acl").read_text()
