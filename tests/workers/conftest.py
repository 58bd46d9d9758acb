"""A workshop with a real store, real storage and real ffmpeg, whose recipe draws instead of computing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from prometheus_client import CollectorRegistry

from models import catalog
from models.recipe import UnitResult
from models.units import Stage, Unit
from service import ids
from service.database import connect
from service.jobs import Generation, Job, JobState, Refine
from service.objects import open_objects
from service.store import Store
from service.telemetry import WorkerMetrics
from workers import media
from workers.render import render_next
from workers.settings import WorkerSettings
from workers.workshop import Workshop, request_of

OnStep = Callable[[int, int], None]


class DrawnRecipe:
    """Frames and states that depend on seed and prompt in force, the unit and every state it is given. `before` runs
    first.
    """

    is_shared = True

    def __init__(self, generation: Generation, before: Callable[[Unit], None]):
        self._made, self._before = generation, before

    def run(self, unit: Unit, states: Mapping[str, bytes], on_step: OnStep) -> UnitResult:
        self._before(unit)
        for step in range(self._made.steps):
            time.sleep(0.01)
            on_step(step + 1, self._made.steps)
        request = request_of(self._made)
        told = request.seed_at(unit.first_frame), request.prompt_at(unit.first_frame)
        seen = hashlib.sha256(f"{told} {unit.key}".encode())
        for key in unit.needs:
            seen.update(states[key])
        model = catalog.find(self._made.model)
        size = model.refined_size if unit.stage is Stage.REFINE else model.size
        frames = np.zeros((unit.num_frames, size.height, size.width, 3), np.uint8)
        for i, frame in enumerate(frames):
            frame[:] = [(seen.digest()[channel] + 9 * i) % 256 for channel in range(3)]
        return UnitResult(frames, seen.digest())


class DrawingShop(Workshop):
    """A workshop without tensors. Set `before` to meddle with a unit."""

    before: Callable[[Unit], None] = staticmethod(lambda unit: None)

    def recipe(self, job: Job) -> Any:
        return DrawnRecipe(job.generation, lambda unit: self.before(unit))


NewShop = Callable[[], DrawingShop]


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(redis_url=redis_url, data_dir=tmp_path, lease_ttl_s=0.6, redis_timeout_s=1.0)


@pytest.fixture
def client(settings: WorkerSettings) -> Iterator[redis.Redis]:
    client = connect(settings)
    yield client
    client.close()


@pytest.fixture
def store(client: redis.Redis, settings: WorkerSettings) -> Store:
    return Store(client, settings)


@pytest.fixture
def new_shop(settings: WorkerSettings, store: Store) -> NewShop:
    """One more worker on the same store and storage."""

    def open_shop() -> DrawingShop:
        metrics = WorkerMetrics(CollectorRegistry())
        return DrawingShop(ids.new("worker"), settings, store, open_objects(settings), metrics)

    return open_shop


@pytest.fixture
def shop(new_shop: NewShop) -> DrawingShop:
    return new_shop()


def make_job(num_frames: int = 32, *, refined: bool = False, **changes: Any) -> Job:
    model = catalog.find("tiny-shapes")
    generation = Generation(
        model=model.name,
        prompt="a red circle moving right on a black background",
        num_frames=num_frames,
        fps=model.fps,
        size=str(model.refined_size if refined else model.size),
        seed=7,
        steps=2,
        guidance_scale=2.0,
        anchor_guidance_scale=2.0,
        refine=Refine(steps=2, strength=0.5, bands=2) if refined else None,
    ).model_copy(update=changes)
    job_id, tenant = ids.new("video"), ids.new("tenant")
    return Job(id=job_id, tenant=tenant, created_at=0, generation=generation, units_total=len(generation.plan()))


def work(*shops: DrawingShop) -> None:
    """Let these workers take turns until nothing is left to do."""
    idle = 0
    while idle < len(shops):
        for shop in shops:
            idle = idle + 1 if render_next(shop) is None else 0


def frames_of(shop: DrawingShop, job: Job, folder: Path, artefact: str = "video") -> list[str]:
    done = shop.store.get(job.tenant, job.id)
    assert done.state is JobState.COMPLETED, done.error
    shop.objects.download(done.artefacts[artefact], folder / f"{job.id}.mp4")
    return media.frame_hashes(folder / f"{job.id}.mp4")
