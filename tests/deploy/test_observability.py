"""Rules, alerts and runbook: read by Prometheus itself, each alert with its test and its paragraph, and some of them
fired by breaking a service that runs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.telemetry import FAULTS
from tests.support.house import House, until
from tests.support.servers import free_port
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


class Watched:
    """A house, and a Prometheus that asks it every second by these rules, with every `for` cut to two seconds."""

    def __init__(self, house: House, folder: Path):
        self.port = free_port()
        ports = {"api": house.port, "render": house.metrics_ports["render"], "deliver": house.metrics_ports["deliver"]}
        told = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        told["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        for scrape in told["scrape_configs"]:
            target = f"127.0.0.1:{ports[scrape['job_name'].removeprefix('longtake-')]}"
            scrape["static_configs"] = [{"targets": [target]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(told))
        hasty = re.sub(r"^( +for: ).*$", r"\g<1>2s", (FOLDER / "rules.yml").read_text(), flags=re.MULTILINE)
        (folder / "rules.yml").write_text(hasty)
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        self.log = (folder / "prometheus.log").open("w")
        command = ["prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'tsdb'}", listen]
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.log)

    def firing(self) -> set[str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/alerts", timeout=5) as answer:
                alerts: list[dict[str, Any]] = json.load(answer)["data"]["alerts"]
        except OSError:
            return set()
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def up(self) -> int:
        query = f"http://127.0.0.1:{self.port}/api/v1/query?query=sum(up)"
        try:
            with urllib.request.urlopen(query, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return 0
        return int(float(found[0]["value"][1])) if found else 0

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.log.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@needs_prometheus
@pytest.mark.processes
@pytest.mark.timeout(300)
def test_alerts_fire_where_a_running_service_is_broken(house: House, tmp_path: Path) -> None:
    worker = house.worker("render")
    (tmp_path / "prometheus").mkdir()
    watched = Watched(house, tmp_path / "prometheus")
    try:
        until(lambda: watched.up() == 3, "Prometheus and its three targets", 60)
        house.finished(house.submit(num_frames=16, refine=False))
        assert watched.firing() == set()
        worker.kill()
        house.submit()
        until(lambda: {"LongtakeWorkerDown", "LongtakeNothingMoves"} <= watched.firing(), "the worker's alerts", 60)
        assert "LongtakeStoreDown" not in watched.firing()
        house.valkey.kill()
        until(lambda: "LongtakeStoreDown" in watched.firing(), "the store's alert", 60)
        house.api.kill()
        until(lambda: "LongtakeApiDown" in watched.firing(), "the API's alert", 60)
    finally:
        watched.close()
