"""Figures that Prometheus accepts."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import redis
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest

from service.api.app import create_app
from service.settings import Settings
from service.store import Store
from service.telemetry import WorkerMetrics
from service.tenants import Tenants
from tests.service.conftest import done, finish, make_job


def accepted(text: str) -> None:
    """What Prometheus's own checker says of it."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; Debian's package prometheus has it")
    checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_prometheus_accepts_the_figures_of_the_api(client: redis.Redis, settings: Settings, store: Store) -> None:
    _, token = Tenants(client, settings).create_key()
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {token}"}) as api:
        api.get("/v1/videos")
        store.submit(make_job())
        finish(store)
        text = api.get("/metrics").text
        assert 'longtake_unit_pace_seconds{model="tiny-shapes",stage="stream"} 0.5' in text
        accepted(text)


def test_prometheus_accepts_the_figures_of_a_worker(store: Store) -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    store.submit(make_job(num_frames=16))
    while claim := store.claim_next("w"):
        metrics.claimed(claim)
        report = done(claim)
        metrics.committed(store.commit(claim, report), report)
    metrics.failed("lease_lost")
    text = generate_latest(registry).decode()
    for line in (
        'longtake_frames_generated_total{stage="initialize"} 16.0',
        'longtake_job_duration_seconds_count{model="tiny-shapes",outcome="completed"} 1.0',
        "longtake_time_to_first_segment_seconds_count 1.0",
        'longtake_realtime_factor_count{model="tiny-shapes"} 1.0',
        "longtake_job_queue_wait_seconds_count 1.0",
        "longtake_gpu_seconds_total 1.0",
    ):
        assert line in text
    accepted(text)
