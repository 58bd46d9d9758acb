"""Workers come and go by figures that there are, and no node takes all of a role with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.test_observability import FOLDER as OBSERVABILITY
from tests.deploy.test_observability import RECORDED, needs_prometheus, promtool
from tests.support.manifests import (
    API,
    DELIVER,
    container,
    lasts_s,
    of_kind,
    pods,
    renderer,
    renderers,
    selects,
    settings,
)
from tests.support.processes import ROOT


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
        assert set(names) == {API, *map(renderer, renderers(overlay))}
        assert of_kind(overlay, "HorizontalPodAutoscaler")[API]["spec"]["minReplicas"] >= 2
        assert deployments[DELIVER]["spec"]["replicas"] >= 2


def test_workers_are_called_by_figures_that_there_are(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = set(re.findall(r"`(longtake_\w+)`", (ROOT / "docs/observability.md").read_text()))
    for scaled in of_kind(overlay, "ScaledObject").values():
        name = scaled["spec"]["scaleTargetRef"]["name"]
        (pool,) = [pool for pool in renderers(overlay) if renderer(pool) == name]
        queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
        assert f'longtake:units_open{{pool="{pool}"}}' in queries
        for query in queries:
            named = re.findall(r"longtake[:_][\w:]+", query)
            assert named and {*named} <= told | RECORDED, query
            assert re.findall(r"{(.*?)}", query) == [f'pool="{pool}"'] * len(named)
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["type"] == "prometheus" and trigger.get("metricType", "AverageValue") == "AverageValue"
            assert int(trigger["metadata"]["threshold"]) == settings(overlay, name, monkeypatch).units_at_once
            assert trigger["metadata"]["ignoreNullValues"] == "false"
            assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold", "ignoreNullValues"}


def test_a_worker_is_kept_longer_than_its_model_took_to_load(overlay: str) -> None:
    for scaled in of_kind(overlay, "ScaledObject").values():
        behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        name = scaled["spec"]["scaleTargetRef"]["name"]
        loads_s = lasts_s(container(pods(overlay)[name])["startupProbe"])
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
            {"series": f'longtake_{name}{{instance="{i}", pool="{pool}"}}', "values": f"{value * times}x4"}
            for name, value in figures.items()
            for i in "ab"
            for pool, times in (("default", 1), ("large", 7))
        ]
        largest = " or ".join(f"label_replace({query}, 'q', '{i}', '', '')" for i, query in enumerate(queries))
        expected = [{"expr": f"max({largest})", "eval_time": "1m", "exp_samples": [{"labels": "{}", "value": workers}]}]
        tests.append({"interval": "15s", "input_series": series, "promql_expr_test": expected})
    told = {"rule_files": [str(OBSERVABILITY / "rules.yml")], "evaluation_interval": "15s", "tests": tests}
    (tmp_path / "workers.test.yml").write_text(yaml.safe_dump(told))
    promtool("test", "rules", str(tmp_path / "workers.test.yml"))


def test_a_node_can_be_emptied_and_never_takes_all_with_it(overlay: str) -> None:
    budgets = of_kind(overlay, "PodDisruptionBudget").values()
    for name, deployment in of_kind(overlay, "Deployment").items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        (budget,) = [each["spec"] for each in budgets if selects(each["spec"]["selector"], labels)]
        assert set(budget) == {"maxUnavailable", "selector"} and budget["maxUnavailable"] in (1, "50%"), name
        (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert selects(spread["labelSelector"], labels), name
    assert len(budgets) == len(of_kind(overlay, "Deployment"))
