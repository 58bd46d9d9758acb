"""What the service's tests share: settings with short times, a store, and a maker of jobs."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service import ids
from service.database import connect
from service.jobs import Claim, Generation, Job, Refine, Segment, UnitDone
from service.settings import Settings
from service.store import Store
from service.telemetry import configure_logging

MakeJob = Callable[..., Job]


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_url, data_dir=tmp_path, lease_ttl_s=0.3, redis_timeout_s=1, unit_attempts=3)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    client = connect(settings)
    yield client
    client.close()


@pytest.fixture
def store(client: redis.Redis, settings: Settings) -> Store:
    return Store(client, settings)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged meanwhile, at every level, in the form of the service."""
    root = logging.getLogger()
    before, level, stream = root.handlers[:], root.level, io.StringIO()
    configure_logging(Settings(log_level="DEBUG"), stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def make_job(
    tenant: str = "tenant_A",
    num_frames: int = 32,
    refine: Refine | None = None,
    model: str = "tiny-shapes",
    **changes: Any,
) -> Job:
    """A job for a short video: 16 + 8 + 8 frames and the finishing, four units; more where it is refined."""
    generation = Generation(
        model=model,
        prompt="a red circle moving right on a black background",
        num_frames=num_frames,
        fps=8,
        size="128x128" if refine else "64x64",
        refine=refine,
        seed=7,
        steps=2,
        guidance_scale=2.0,
        anchor_guidance_scale=2.0,
    )
    job = Job(
        id=ids.new("video"),
        tenant=tenant,
        created_at=0,
        generation=generation,
        units_total=len(generation.plan()),
    )
    return job.model_copy(update=changes)


def done(claim: Claim, **changes: Any) -> UnitDone:
    """What a worker would report of the claimed unit."""
    unit = claim.job.work()[claim.position]
    segment = Segment(
        track=unit.stage.track or "preview",
        key=f"{claim.job.tenant}/{claim.job.id}/{unit.key}.m4s",
        init_key=f"{claim.job.tenant}/{claim.job.id}/init.mp4",
        first_frame=unit.first_frame,
        num_frames=unit.num_frames,
        duration_s=unit.num_frames / 8,
        bytes=10,
        sha256="0" * 64,
    )
    report = UnitDone(
        position=claim.position,
        unit=unit.key,
        fence=claim.fence,
        worker_id=claim.worker_id,
        seconds=0.5,
        segment=segment if unit.stage.track and unit.num_frames else None,
    )
    return report.model_copy(update=changes)


def complete(store: Store) -> None:
    """Do all units; the last one of each job leaves a video."""
    while claim := store.claim_next("w"):
        video = f"{claim.job.tenant}/{claim.job.id}/video.f{claim.fence}.mp4"
        is_last = claim.job.work()[claim.position].stage == "finish"
        store.commit(claim, done(claim, artefacts={"video": video} if is_last else {}))


def finish(store: Store, worker_id: str = "w") -> Job:
    """Do units until there is nothing left; the last job that was touched."""
    job = None
    while claim := store.claim_next(worker_id):
        job = store.commit(claim, done(claim))
    assert job is not None, "there was nothing to do"
    return job
