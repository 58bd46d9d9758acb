"""The manifests are built by kustomize itself, held to the API's own schemas, and name only what there is."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping

import kubernetes_validate
import yaml
from pydantic import BaseModel

from tests.deploy.test_observability import FOLDER as OBSERVABILITY
from tests.deploy.test_observability import RULES
from tests.support.manifests import (
    API,
    DELIVER,
    FOLDER,
    NEWEST,
    OLDEST,
    OVERLAYS,
    PAGE,
    RENDER,
    Object,
    built,
    container,
    containers,
    of_kind,
    pods,
    policies,
    ports,
    selects,
)
from tests.support.processes import ROOT
from workers.settings import WorkerSettings


def check_custom(each: Object, custom: Mapping[str, type[BaseModel]]) -> None:
    """These schemas pass over what they do not know: it is missing in what they give back."""
    read = custom[each["kind"]].model_validate(each)
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == each


def test_every_object_is_one_that_old_and_new_clusters_take(overlay: str, custom: dict[str, type[BaseModel]]) -> None:
    for each in built(overlay):
        if each["kind"] in custom:
            check_custom(each, custom)
            continue
        for release in (OLDEST, NEWEST):
            kubernetes_validate.validate(each, release, strict=True)


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
