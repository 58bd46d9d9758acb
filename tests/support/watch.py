"""A Prometheus that asks a house of tests every second, and judges it by the rules of deploy/observability in haste."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.support.house import House
from tests.support.processes import ROOT
from tests.support.servers import free_port

FOLDER = ROOT / "deploy" / "observability"
#: What is waited for in service, and here: times, windows and bounds are cut, and nothing else of a rule.
HASTE = {
    r"for: \S+": "for: 2s",
    r":15s\]": ":1s]",
    r"\[(15m|1h)\]": "[20s]",
    "offset 1d": "offset 20s",
    "heartbeat_timestamp_seconds > 60": "heartbeat_timestamp_seconds > 5",
    "queue_wait_seconds:p90_15m > 300": "queue_wait_seconds:p90_15m > 2",
    "put_seconds:p90_15m > 5": "put_seconds:p90_15m > 0.4",
    r"webhooks_pending\) > 100": "webhooks_pending) > 2",
}


def in_haste(rules: str) -> str:
    for slow, quick in HASTE.items():
        rules, found = re.subn(slow, quick, rules)
        assert found, f"no rule has {slow} any more"
    return rules


class Watch:
    """Prometheus over API, delivery and the render worker `render` of a house."""

    def __init__(self, house: House, folder: Path):
        folder.mkdir()
        self.port = free_port()
        ports = {"api": house.port, "render": house.metrics_ports["render"], "deliver": house.metrics_ports["deliver"]}
        told = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        told["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        for scrape in told["scrape_configs"]:
            target = f"127.0.0.1:{ports[scrape['job_name'].removeprefix('longtake-')]}"
            scrape["static_configs"] = [{"targets": [target]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(told))
        (folder / "rules.yml").write_text(in_haste((FOLDER / "rules.yml").read_text()))
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        command = ["prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'tsdb'}", listen]
        with (folder / "prometheus.log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        alerts = self._ask("alerts").get("alerts", [])
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def up(self) -> int:
        """How many processes answer it."""
        found = self._ask("query?query=sum(up)").get("result")
        return int(float(found[0]["value"][1])) if found else 0

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()

    def _ask(self, what: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{what}", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)["data"]
                return found
        except OSError:  # it has not begun to listen
            return {}
