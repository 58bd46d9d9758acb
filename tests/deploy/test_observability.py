"""Rules, alerts and runbook: read by Prometheus itself, each alert with its test and its paragraph."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from service.telemetry import FAULTS
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
RECORDED = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}

needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="Prometheus is not installed (Debian: prometheus)"
)


def promtool(*words: str) -> None:
    judged = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


@needs_prometheus
def test_prometheus_takes_the_configuration_and_every_alert_fires_when_it_should() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", *(file.name for file in sorted(FOLDER.glob("*.test.yml"))))


def test_every_alert_is_tested_to_fire_and_to_be_quiet() -> None:
    tests = [yaml.safe_load(file.read_text()) for file in FOLDER.glob("*.test.yml")]
    cases = [case for file in tests for test in file["tests"] for case in test.get("alert_rule_test", ())]
    for alert in ALERTS:
        expected = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == alert}
        assert expected == {True, False}, alert


def test_every_alert_has_its_paragraph_in_the_runbook() -> None:
    headings = re.findall(r"^### (\w+)\n\n\*(page|warn)\.\*", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert headings == [(alert, rule["labels"]["severity"]) for alert, rule in ALERTS.items()]
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{alert.lower()}"


def test_rules_and_runbook_name_only_what_there_is() -> None:
    page = (ROOT / "docs/observability.md").read_text()
    there = set(re.findall(r"`(longtake_\w+)`", page))
    for file in (FOLDER / "rules.yml", ROOT / "docs/operations.md", *(FOLDER / "grafana").glob("*.json")):
        text = file.read_text()
        named = {re.sub(r"_(sum|count|bucket)$", "", name) for name in re.findall(r"\blongtake_[a-z0-9_]+", text)}
        assert named <= there, file.name
        assert set(re.findall(r"\blongtake:\w+:?\w+", text)) <= RECORDED, file.name
        settings = {name.lower() for name in re.findall(r"LONGTAKE_([A-Z0-9_]+)", text)}
        assert settings <= {*WorkerSettings.model_fields, "url"}, file.name
    codes = set(re.findall(r"storage_(?:full|unavailable)|out_of_memory", (FOLDER / "rules.test.yml").read_text()))
    assert codes <= set(FAULTS)


DASHBOARDS = [json.loads(file.read_text()) for file in sorted((FOLDER / "grafana").glob("*.json"))]


@needs_prometheus
def test_every_query_of_a_dashboard_is_one_that_prometheus_understands(tmp_path: Path) -> None:
    queries = [
        target["expr"] for board in DASHBOARDS for panel in board["panels"] for target in panel.get("targets", ())
    ]
    rules = [{"record": f"query:{i}", "expr": query} for i, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "queries.yml"))


def test_what_is_reckoned_is_shown_or_judged_by() -> None:
    shown = json.dumps(DASHBOARDS) + " ".join(rule["expr"] for rule in ALERTS.values())
    assert {name for name in RECORDED if name not in shown} == set()


def test_dashboards_say_only_what_grafana_knows() -> None:
    """By the schemas that Grafana has made of its own: what they do not know is missing where it is written anew."""
    register_default_plugins()  # type: ignore[no-untyped-call]
    for board in DASHBOARDS:
        written = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))  # type: ignore[no-untyped-call]
        assert set(places(board)) <= set(places(written))


def places(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in it that holds no others, by its path."""
    if isinstance(value, dict | list) and value:
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, f"{path}/{name}")
    elif value not in ({}, []):
        yield path, value


def test_dashboards_lie_on_grafanas_grid() -> None:
    for board in DASHBOARDS:
        assert board["uid"] and board["schemaVersion"] and "id" not in board  # an id is of one Grafana's database
        assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource"}
        panels = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken = set[tuple[int, int]]()
        for panel in panels:
            assert panel["title"] and (panel["type"] == "row" or panel["description"])
            for target in panel.get("targets", ()):
                assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            place = panel["gridPos"]
            cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
            assert max(x for x, _ in cells) < 24 and not cells & taken, panel["title"]
            taken |= cells
