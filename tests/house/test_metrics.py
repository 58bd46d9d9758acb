"""Both /metrics, as a real Prometheus reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.house import House

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


@needs_promtool
@pytest.mark.parametrize("process", ["api", "render", "deliver"])
def test_prometheus_accepts_the_metrics(house: House, process: str) -> None:
    house.finished(house.submit(num_frames=16, refine=False))
    text = house.metrics(process)
    judged = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_a_worker_counts_what_it_makes(house: House) -> None:
    house.finished(house.submit(num_frames=16, refine=False))
    for name in (
        "longtake_unit_duration_seconds_count",
        "longtake_time_to_first_segment_seconds_count",
        "longtake_realtime_factor_count",
        "longtake_job_duration_seconds_count",
        "longtake_frames_generated_total",
        "longtake_gpu_seconds_total",
        "longtake_storage_upload_seconds_count",
        "longtake_worker_last_heartbeat_timestamp_seconds",
        "longtake_worker_ready",
    ):
        assert house.figure("render", name) > 0, name


def test_the_page_about_figures_names_each_of_them(house: House) -> None:
    page = (Path(__file__).parents[2] / "docs/observability.md").read_text()
    told = {
        line.split()[2]
        for process in ("api", "render", "deliver")
        for line in house.metrics(process).splitlines()
        if line.startswith("# TYPE longtake_")
    }
    assert told == set(re.findall(r"`(longtake_\w+)`", page))


def test_a_courier_that_cannot_open_its_figures_leaves(house: House) -> None:
    """And does not stay to take wake-ups that it can do nothing with."""
    taken = {"LONGTAKE_METRICS_PORT": str(house.metrics_ports["deliver"])}
    second = house.run("second-courier", "workers", "deliver", **taken)
    assert second.wait(60) == 1
    assert "Address already in use" in second.log.read_text()
