"""What `workers.render` promises of one unit, and of what happens when something goes wrong in it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.model import CatalogError, CheckpointError
from models.units import Unit
from service import jobs
from service.database import connect
from service.errors import StorageUnavailable, StoreUnavailable, UnreadableRecord
from service.jobs import Claim, Job, JobState, UnitDone
from service.queue import make_celery
from service.settings import Settings
from service.store import Store
from service.videos import video_of
from tests.workers.conftest import DrawingShop, NewShop, frames_of, make_job, work
from workers import media
from workers.lease import CANCEL_LATENCY_S
from workers.render import render_next
from workers.sweep import sweep


def test_there_may_be_nothing_to_do(shop: DrawingShop) -> None:
    assert render_next(shop) is None


@pytest.mark.parametrize("num_frames", [1, 16, 17, 40])
def test_a_video_has_every_frame_that_was_asked_for(shop: DrawingShop, num_frames: int, tmp_path: Path) -> None:
    job, _ = shop.store.submit(make_job(num_frames))
    work(shop)
    assert len(frames_of(shop, job, tmp_path)) == num_frames


def test_a_refined_video_is_whole_and_its_preview_too(shop: DrawingShop, tmp_path: Path) -> None:
    job, _ = shop.store.submit(make_job(61, refined=True))
    work(shop)
    assert len(frames_of(shop, job, tmp_path)) == 61
    assert len(frames_of(shop, job, tmp_path, "preview")) == 61
    assert shop.objects.get(shop.store.get(job.tenant, job.id).artefacts["thumbnail"])[:2] == b"\xff\xd8"


def test_workers_taking_turns_make_the_frames_that_one_makes(
    shop: DrawingShop, new_shop: NewShop, tmp_path: Path
) -> None:
    alone, _ = shop.store.submit(make_job(40, refined=True))
    work(shop)
    shared, _ = shop.store.submit(make_job(40, refined=True))
    work(new_shop(), new_shop(), new_shop())
    assert frames_of(shop, shared, tmp_path) == frames_of(shop, alone, tmp_path)


@pytest.mark.parametrize("how", ["deleted", "cancelled"])
def test_what_is_stored_long_after_its_video_was_gone_is_erased(
    shop: DrawingShop, settings: Settings, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage was away while the video was deleted, and erased, and the worker stored its unit when it was back."""
    waker, job = make_celery(settings), shop.store.submit(make_job(32))[0]
    real = shop.put

    def put(*args: object) -> None:
        monkeypatch.setattr(shop, "put", real)
        if how == "deleted":
            shop.store.delete(job.tenant, job.id)
        else:
            shop.store.cancel(job.tenant, job.id)
            shop.store._db._client.zadd("longtake:leases", dict.fromkeys(leases(), 1))
        for _ in range(3):
            sweep(shop.store, shop.objects, waker)
            time.sleep(settings.lease_ttl_s)
        real(*args)  # type: ignore[arg-type]

    def leases() -> list[str]:
        return list(shop.store._db._client.zrange("longtake:leases", 0, -1))

    monkeypatch.setattr(shop, "put", put)
    render_next(shop)
    assert shop.objects.list(f"{job.tenant}/{job.id}/")
    time.sleep(2 * settings.lease_ttl_s)
    sweep(shop.store, shop.objects, waker)
    left = shop.objects.list(f"{job.tenant}/{job.id}/")
    assert [name for name in left if ".f1." in name] == [] and (how == "cancelled" or not left)


def test_two_videos_are_made_in_turns(shop: DrawingShop) -> None:
    long, _ = shop.store.submit(make_job(160))
    short, _ = shop.store.submit(make_job(16))
    done = []
    while job := render_next(shop):
        done.append(job)
    ends = {job.id: i for i, job in enumerate(done) if job.state.is_terminal}
    assert ends[short.id] < 6 < ends[long.id]


def test_a_worker_that_lost_its_unit_changes_nothing(
    shop: DrawingShop, new_shop: NewShop, settings: Settings, tmp_path: Path
) -> None:
    undisturbed, _ = shop.store.submit(make_job(32))
    work(shop)
    job, _ = shop.store.submit(make_job(32))
    slow, quick = new_shop(), new_shop()

    class Silent(Store):
        """Its heartbeats do not arrive."""

        def renew(self, claim: Claim, step: int = 0, steps: int = 0):  # type: ignore[no-untyped-def]
            raise StoreUnavailable("no answer")

    slow.store = Silent(shop.store._db._client, settings)

    def overtaken(unit: Unit) -> None:
        time.sleep(1.2 * settings.lease_ttl_s)
        assert shop.store.expire_leases() == 1
        work(quick)

    slow.before = overtaken
    assert render_next(slow) is not None
    assert frames_of(shop, job, tmp_path) == frames_of(shop, undisturbed, tmp_path)
    units = [done.unit for done in shop.store.committed(job.id)]
    assert len(units) == len(set(units)) == job.units_total
    assert {done.worker_id for done in shop.store.committed(job.id)} == {quick.worker_id}


def test_a_cancelled_video_stops_within_a_step_and_keeps_what_was_made(shop: DrawingShop, settings: Settings) -> None:
    job, _ = shop.store.submit(make_job(40))
    render_next(shop)
    steps = 0

    def cancel_and_count(unit: Unit) -> None:
        nonlocal steps
        shop.store.cancel(job.tenant, job.id)
        time.sleep(2 * CANCEL_LATENCY_S)  # a long step
        steps += 1

    shop.before = cancel_and_count
    stopped = render_next(shop)
    assert stopped is not None and stopped.state is JobState.CANCELLED
    assert (stopped.units_done, stopped.frames, steps) == (1, 16, 1)
    assert render_next(shop) is None


def test_a_unit_given_back_is_no_attempt(shop: DrawingShop, new_shop: NewShop) -> None:
    job, _ = shop.store.submit(make_job(16))
    shop.before = lambda unit: shop.draining.set()
    render_next(shop)
    back = shop.store.get(job.tenant, job.id)
    assert (back.state, back.working, back.ready, back.units_done) == (JobState.IN_PROGRESS, {}, (0,), 0)
    work(new_shop())
    assert shop.store.get(job.tenant, job.id).state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("error", "code", "attempts"),
    [
        (CatalogError("too_long", "num_frames", "too many"), "too_long", 1),
        (ValueError("no such size"), "generation_failed", 1),
        (CheckpointError("no weights"), "model_unavailable", 3),
        (StorageUnavailable("no answer"), "storage_unavailable", 3),
        (torch.OutOfMemoryError("no room"), "out_of_memory", 3),
        (MemoryError(), "out_of_memory", 3),
        (media.MediaError("no encoder"), "encoding_failed", 3),
        (ZeroDivisionError("a bug"), "internal_error", 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_goes_wrong_is_told_and_tried_again_where_that_may_help(
    shop: DrawingShop, error: Exception, code: str, attempts: int
) -> None:
    tried: list[Unit] = []

    def go_wrong(unit: Unit) -> None:
        tried.append(unit)
        raise error

    shop.before = go_wrong
    job, _ = shop.store.submit(make_job(16))
    work(shop)
    failed = shop.store.get(job.tenant, job.id)
    assert failed.state is JobState.FAILED
    assert failed.error is not None and failed.error.code == code
    assert len(tried) == attempts
    assert "bug" not in failed.error.message  # what the user is told holds nothing of the inside


def test_a_video_whose_model_is_no_longer_offered_fails_and_can_still_be_looked_at(
    shop: DrawingShop, withdraw: Callable[[str], object]
) -> None:
    job, _ = shop.store.submit(make_job(16))
    withdraw("tiny-shapes")
    jobs._plan.cache_clear()
    work(shop)
    failed = shop.store.get(job.tenant, job.id)
    assert failed.error is not None and failed.error.code == "unknown_model"
    assert video_of(failed).status == "failed"


def test_a_video_that_a_newer_release_has_begun_is_left_to_it(new_shop: NewShop, settings: Settings) -> None:
    newer, shop = new_shop(), new_shop()
    job, _ = shop.store.submit(make_job(24))
    assert render_next(newer) is not None
    with connect(settings) as client:
        (row,) = client.lrange(f"longtake:committed:{job.id}", 0, -1)
        client.lset(f"longtake:committed:{job.id}", 0, json.dumps(json.loads(row) | {"hue": "of a newer release"}))
        for _ in range(settings.unit_attempts + 1):
            with pytest.raises(UnreadableRecord, match="hue: Extra inputs"):
                render_next(shop)
        client.lset(f"longtake:committed:{job.id}", 0, row)
    work(shop)
    assert shop.store.get(job.tenant, job.id).state is JobState.COMPLETED


def test_a_commit_whose_answer_was_lost_counts_once(shop: DrawingShop, settings: Settings) -> None:
    class Mute(Store):
        """Does the first commit, but its answer does not arrive."""

        answered = 0

        def commit(self, claim: Claim, done: UnitDone) -> Job:
            job = super().commit(claim, done)
            self.answered += 1
            if self.answered == 1:
                raise StoreUnavailable("no answer")
            return job

    shop.store = Mute(shop.store._db._client, settings)
    job, _ = shop.store.submit(make_job(32))
    work(shop)
    assert shop.store.get(job.tenant, job.id).state is JobState.COMPLETED
    assert len(shop.store.committed(job.id)) == job.units_total


def test_a_segment_is_in_storage_before_anyone_hears_of_it(shop: DrawingShop) -> None:
    job, _ = shop.store.submit(make_job(32))
    while render_next(shop):
        for done in shop.store.committed(job.id):
            if done.segment:
                assert shop.objects.exists(done.segment.init_key)
                assert len(shop.objects.get(done.segment.key)) == done.segment.bytes
