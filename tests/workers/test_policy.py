"""What `check_frames` promises: a rejected video never shows a frame, nor keeps one. Real store, storage and ffmpeg."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery

from models.recipe import UnitResult
from models.units import Unit
from service import lineage, queue
from service.errors import PolicyRefused, Withheld
from service.jobs import Job, JobState
from service.policy import check_watchable
from service.videos import video_of
from tests.support import frame_classifier
from tests.workers.conftest import DrawingShop, make_job
from tests.workers.test_render import frames_of
from tests.workers.test_takes import child
from workers.policy import FramePolicy, sampled
from workers.render import render_next
from workers.settings import WorkerSettings
from workers.sweep import sweep

PLUGIN = "tests.support.frame_classifier"


class ColouredRecipe:
    """Grey pictures; red ones in the unit that is named so."""

    is_shared = True

    def __init__(self, red: str):
        self._red = red

    def run(self, unit: Unit, states: Mapping[str, bytes], on_step: Callable[[int, int], None]) -> UnitResult:
        frames = np.full((unit.num_frames, 64, 64, 3), 40, np.uint8)
        if unit.key == self._red:
            frames[-1, ..., 0] = 250  # in its last frame only
        return UnitResult(frames, b"state of " + unit.key.encode())


class WatchedShop(DrawingShop):
    red, only = "none", ""  # a unit, and the one job whose unit it is

    def recipe(self, job: Job) -> Any:
        return ColouredRecipe(self.red if self.only in ("", job.id) else "none")


@pytest.fixture
def watched(shop: DrawingShop, settings: WorkerSettings) -> WatchedShop:
    frame_classifier.seen.clear()
    policed = settings.model_copy(update={"frame_policy": f"{PLUGIN}:no_red"})
    return WatchedShop(shop.worker_id, policed, shop.store, shop.objects, shop.metrics)


def work(shop: DrawingShop) -> None:
    while render_next(shop):
        pass


def test_frames_of_every_chunk_are_looked_at_the_first_and_the_last_among_them(watched: WatchedShop) -> None:
    job, _ = watched.store.submit(make_job(32))
    work(watched)
    assert watched.store.get(job.tenant, job.id).state is JobState.COMPLETED
    assert [shown.frames for shown in frame_classifier.seen] == [(0, 8, 15), (16, 20, 23), (24, 28, 31)]
    assert frame_classifier.seen[0].pictures.shape == (3, 64, 64, 3)
    assert frame_classifier.seen[0].prompts == (job.generation.prompt,)


@pytest.mark.parametrize(
    ("count", "samples", "chosen"), [(8, 3, [0, 4, 7]), (1, 3, [0]), (3, 0, [0, 1, 2]), (8, 1, [0])]
)
def test_samples_are_spread_over_the_chunk(count: int, samples: int, chosen: list[int]) -> None:
    assert sampled(count, samples) == chosen


def test_a_rejected_chunk_is_stored_nowhere(watched: WatchedShop, caplog: pytest.LogCaptureFixture) -> None:
    watched.red = "initialize-00000"
    job, _ = watched.store.submit(make_job(32))
    with caplog.at_level(logging.WARNING):
        work(watched)
    failed = watched.store.get(job.tenant, job.id)
    assert failed.state is JobState.FAILED and failed.error is not None
    assert failed.error.code == "policy_refused" and "red" not in failed.error.message
    assert watched.objects.list(f"{job.tenant}/{job.id}/") == []
    assert len(frame_classifier.seen) == 1  # and it is not tried again
    assert any("red" in str(record.__dict__.get("reason")) for record in caplog.records)  # the operator sees why


def test_a_video_rejected_late_shows_none_of_its_frames_and_its_objects_go(watched: WatchedShop) -> None:
    watched.red = "stream-00002"
    job, _ = watched.store.submit(make_job(32))
    render_next(watched)
    assert watched.store.get(job.tenant, job.id).frames == 16
    work(watched)
    failed = watched.store.get(job.tenant, job.id)
    assert failed.error is not None and failed.error.code == PolicyRefused.code
    assert (failed.frames, failed.artefacts, watched.store.finished_part(job.tenant, job.id)) == (0, {}, [])
    assert video_of(failed).status == "failed"
    with pytest.raises(Withheld):
        check_watchable(failed)
    assert watched.states.get((job.id, "initialize-00000")) is None
    app: Celery = queue.make_celery(watched.settings)
    sweep(watched.store, watched.objects, app)
    assert watched.objects.list(f"{job.tenant}/{job.id}/") == []
    assert watched.store.discarded() == []


def test_cancelling_does_not_save_what_is_rejected(watched: WatchedShop, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.red = "stream-00001"
    job, _ = watched.store.submit(make_job(32))
    render_next(watched)
    check = FramePolicy.check_frames

    def cancelled_meanwhile(self: FramePolicy, *args: Any) -> None:
        watched.store.cancel(job.tenant, job.id)
        check(self, *args)

    monkeypatch.setattr(FramePolicy, "check_frames", cancelled_meanwhile)
    work(watched)
    failed = watched.store.get(job.tenant, job.id)
    assert (failed.state, failed.frames) == (JobState.FAILED, 0)


@pytest.mark.parametrize(("failure", "state"), [("closed", JobState.FAILED), ("open", JobState.COMPLETED)])
def test_a_classifier_that_fails_stops_the_video_or_not_as_configured(
    shop: DrawingShop, settings: WorkerSettings, failure: str, state: JobState
) -> None:
    policed = settings.model_copy(update={"frame_policy": f"{PLUGIN}:broken", "policy_failure": failure})
    watched = WatchedShop(shop.worker_id, policed, shop.store, shop.objects, shop.metrics)
    job, _ = shop.store.submit(make_job(16))
    work(watched)
    ended = shop.store.get(job.tenant, job.id)
    assert ended.state is state
    if failure == "closed":
        assert ended.error is not None and ended.error.code == "policy_unavailable"
        assert shop.objects.list(f"{job.tenant}/{job.id}/") == []


def test_without_a_classifier_everything_passes(shop: DrawingShop, settings: WorkerSettings) -> None:
    watched = WatchedShop(shop.worker_id, settings, shop.store, shop.objects, shop.metrics)
    watched.red = "initialize-00000"
    job, _ = shop.store.submit(make_job(16))
    work(watched)
    assert shop.store.get(job.tenant, job.id).state is JobState.COMPLETED


def test_a_rejected_extension_leaves_its_parent_as_it_was(watched: WatchedShop, tmp_path: Path) -> None:
    parent, _ = watched.store.submit(make_job(24))
    work(watched)
    watched.red = "stream-00003"
    ended = watched.store.get(parent.tenant, parent.id)
    longer = child(watched, ended, lambda committed: lineage.extension(ended, committed, "x", 16))
    rejected = watched.store.get(longer.tenant, longer.id)
    assert (rejected.state, rejected.frames) == (JobState.FAILED, 0)
    assert watched.store.committed(longer.id) == []
    sweep(watched.store, watched.objects, queue.make_celery(watched.settings))
    assert watched.objects.list(f"{longer.tenant}/{longer.id}/") == []
    assert len(frames_of(watched, parent, tmp_path)) == 24


def test_a_branch_keeps_the_chunks_that_passed_when_its_parent_is_rejected_later(
    watched: WatchedShop, tmp_path: Path
) -> None:
    parent, _ = watched.store.submit(make_job(32))
    render_next(watched)
    watched.red, watched.only = "stream-00002", parent.id
    branched = child(watched, parent, lambda committed: lineage.branch(parent, committed, 2.0, None, 8, 32))
    rejected = watched.store.get(parent.tenant, parent.id)
    assert (rejected.state, rejected.frames) == (JobState.FAILED, 0)
    sweep(watched.store, watched.objects, queue.make_celery(watched.settings))
    assert len(frames_of(watched, branched, tmp_path)) == 32
    watched.store.delete(branched.tenant, branched.id)  # nobody plays them any more
    for _ in range(2):
        sweep(watched.store, watched.objects, queue.make_celery(watched.settings))
    assert watched.objects.list(f"{parent.tenant}/{parent.id}/") == []
