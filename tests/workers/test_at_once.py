"""Several units at once: of one video by several workers, and of whatever videos there are by one."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.units import Stage, Unit
from service.errors import StoreUnavailable
from service.jobs import Claim, Job, JobState
from tests.workers.conftest import DrawingShop, NewShop, frames_of, make_job, work
from workers.lease import CANCEL_LATENCY_S, Draining
from workers.render import render_next, render_some


def test_workers_have_units_of_one_video_at_once(shop: DrawingShop, new_shop: NewShop, tmp_path: Path) -> None:
    """Streaming and both bands of refinement; the video is the one that a worker alone makes."""
    crew, in_work, seen = [new_shop() for _ in range(3)], list[Stage](), set[tuple[Stage, ...]]()

    wanted = {(Stage.REFINE, Stage.REFINE), (Stage.REFINE, Stage.STREAM)}

    def note(unit: Unit) -> None:
        in_work.append(unit.stage)
        seen.add(tuple(sorted(in_work)))
        begun = time.monotonic()
        while unit.stage is Stage.REFINE and wanted - seen and time.monotonic() < begun + 1:
            time.sleep(0.01)  # for others to come
        in_work.remove(unit.stage)

    def take_part(worker: DrawingShop) -> None:
        worker.before = note
        while not shop.store.get(job.tenant, job.id).state.is_terminal:
            render_next(worker)

    job, _ = shop.store.submit(make_job(80, refined=True))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(take_part, crew))
    assert wanted <= seen
    assert {done.worker_id for done in shop.store.committed(job.id)} == {worker.worker_id for worker in crew}
    alone, _ = shop.store.submit(make_job(80, refined=True))
    work(shop)
    assert frames_of(shop, job, tmp_path) == frames_of(shop, alone, tmp_path)


@pytest.fixture
def wide(shop: DrawingShop) -> DrawingShop:
    """A worker that makes three units at once, of whatever videos there are."""
    shop.settings = shop.settings.model_copy(update={"units_at_once": 3})
    return shop


def test_a_worker_may_have_several_units_at_once(wide: DrawingShop, new_shop: NewShop, tmp_path: Path) -> None:
    in_work, most = list[str](), 0

    def note(unit: Unit) -> None:
        nonlocal most
        in_work.append(unit.key)
        most = max(most, len(in_work))
        time.sleep(0.05)
        in_work.remove(unit.key)

    wide.before = note
    several = [wide.store.submit(make_job(40, refined=refined))[0] for refined in (False, True, False)]
    ended = [job.id for job in render_some(wide) if job.state.is_terminal]
    work(wide)  # where all units ended at once, that was all of one call
    assert most == 3 and len(ended) == len(set(ended))
    alone = [wide.store.submit(make_job(40, refined=refined))[0] for refined in (False, True)]
    work(new_shop())
    want = [frames_of(wide, job, tmp_path) for job in alone]
    assert [frames_of(wide, job, tmp_path) for job in several] == [want[0], want[1], want[0]]


def test_a_unit_that_comes_while_others_are_made_is_begun_beside_them(wide: DrawingShop) -> None:
    begun, late = threading.Event(), list[Job]()

    def long(unit: Unit) -> None:
        if not late:
            late.append(wide.store.submit(make_job(16))[0])
            assert begun.wait(10), "nobody looked for more"
        begun.set()

    wide.before = long
    first, _ = wide.store.submit(make_job(16))
    assert {job.id for job in render_some(wide)} == {first.id, late[0].id}


def test_of_several_units_one_that_goes_wrong_fails_alone(wide: DrawingShop) -> None:
    def fails(unit: Unit) -> None:
        time.sleep(0.05)
        if unit.stage is Stage.STREAM:
            raise ValueError("not this one")

    wide.before = fails
    short, long = (wide.store.submit(make_job(frames))[0] for frames in (16, 40))
    while list(render_some(wide)):
        pass
    states = [wide.store.get(job.tenant, job.id).state for job in (short, long)]
    assert states == [JobState.COMPLETED, JobState.FAILED]


def test_a_worker_that_is_asked_to_leave_gives_all_of_its_units_back(wide: DrawingShop) -> None:
    together = threading.Barrier(3)

    def leave(unit: Unit) -> None:
        together.wait(10)
        wide.draining.set()

    wide.before = leave
    several = [wide.store.submit(make_job(16))[0] for _ in range(4)]
    given_back = {job.id for job in render_some(wide)}
    assert given_back < {job.id for job in several} and len(given_back) == 3
    now = [wide.store.get(job.tenant, job.id) for job in several]
    assert [(job.working, job.units_done) for job in now] == [({}, 0)] * 4


def test_a_store_that_is_away_ends_the_work_when_all_that_was_begun_has_ended(
    wide: DrawingShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(claim: Claim) -> None:
        raise StoreUnavailable("It is away.")

    def fails(unit: Unit) -> None:
        raise Draining

    wide.before = fails
    monkeypatch.setattr(wide.store, "release", away)
    for _ in range(2):
        wide.store.submit(make_job(16))
    with pytest.raises(StoreUnavailable):
        list(render_some(wide))


def test_a_video_that_ends_in_one_workers_hands_is_dropped_by_the_others(shop: DrawingShop, new_shop: NewShop) -> None:
    job, _ = shop.store.submit(make_job(40, refined=True))
    for _ in range(2):
        render_next(shop)
    other = new_shop()
    other.before = lambda unit: shop.store.cancel(job.tenant, job.id) and time.sleep(1.2 * CANCEL_LATENCY_S)

    def meanwhile(unit: Unit) -> None:
        assert (ended := render_next(other)) and ended.state is JobState.CANCELLED
        time.sleep(1.2 * CANCEL_LATENCY_S)

    shop.before = meanwhile
    render_next(shop)
    ended = shop.store.get(job.tenant, job.id)
    assert ended.state is JobState.CANCELLED and ended.working == {} and len(shop.store.committed(job.id)) == 2
    assert render_next(shop) is None
