"""A worker in whose hands units go wrong leaves what waits to others, and in the end its place to another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from models.model import CatalogError
from models.units import Unit
from service.errors import StorageUnavailable
from service.jobs import JobState
from tests.workers.conftest import DrawingShop, NewShop, make_job, work
from workers.render import render_next, render_some
from workers.settings import WorkerSettings

REST_S = 0.4


@pytest.fixture
def settings(settings: WorkerSettings) -> WorkerSettings:
    return settings.model_copy(update={"rest_s": REST_S})


def raising(error: Exception) -> Callable[[Unit], None]:
    def go_wrong(unit: Unit) -> None:
        raise error

    return go_wrong


@pytest.fixture
def lost(new_shop: NewShop) -> DrawingShop:
    """A worker whose GPU has fallen off the bus."""
    shop = new_shop()
    shop.before = raising(RuntimeError("CUDA error: unspecified launch failure"))
    return shop


def test_a_worker_rests_after_a_unit_that_went_wrong_and_another_makes_it(lost: DrawingShop, shop: DrawingShop) -> None:
    job, _ = shop.store.submit(make_job(16))
    began = time.monotonic()
    (job,) = render_some(lost)
    assert not lost.takes_units and (job.state, job.error) == (JobState.IN_PROGRESS, None)
    work(shop)
    assert shop.store.get(job.tenant, job.id).state is JobState.COMPLETED
    assert list(render_some(lost)) == []
    assert time.monotonic() - began >= REST_S
    assert lost.takes_units


def test_it_rests_as_long_as_a_unit_of_that_model_takes(lost: DrawingShop, shop: DrawingShop) -> None:
    """So that whoever has one in work comes free meanwhile."""
    shop.before = lambda unit: time.sleep(3 * REST_S)
    made, _ = shop.store.submit(make_job(8))
    render_next(shop)
    shop.store.cancel(made.tenant, made.id)
    shop.store.submit(make_job(16))
    render_next(lost)
    assert 2 * REST_S < lost.fitness.rest_s < 6 * REST_S


def test_it_ends_its_rest_when_it_is_asked_to_leave(lost: DrawingShop, settings: WorkerSettings) -> None:
    lost.settings = settings.model_copy(update={"rest_s": 60.0})
    job, _ = lost.store.submit(make_job(16))
    render_next(lost)
    threading.Timer(0.1, lost.draining.set).start()
    began = time.monotonic()
    assert list(render_some(lost)) == []
    assert time.monotonic() - began < 10
    assert lost.store.get(job.tenant, job.id).fence == 1  # it claimed nothing more


def test_it_begins_nothing_beside_what_it_has_in_work_while_it_rests(shop: DrawingShop) -> None:
    shop.settings = shop.settings.model_copy(update={"units_at_once": 2})
    failing, begun = threading.Event(), list[float]()

    def second_fails(unit: Unit) -> None:
        begun.append(time.monotonic())
        if len(begun) == 2:
            failing.set()
            raise RuntimeError("CUDA error: unspecified launch failure")
        if len(begun) == 1:
            failing.wait(5)
            time.sleep(REST_S / 2)

    shop.before = second_fails
    for _ in range(4):
        shop.store.submit(make_job(8))
    for _ in render_some(shop):
        pass
    assert begun[2] - begun[1] >= REST_S / 2  # none before the one beside it had shown that units can be made here


@pytest.mark.parametrize("error", [CatalogError("too_long", "num_frames", "too many"), ValueError("no such size")])
def test_what_the_order_is_to_blame_for_is_no_reason_to_rest(shop: DrawingShop, error: Exception) -> None:
    shop.before = raising(error)
    shop.store.submit(make_job(16))
    render_next(shop)
    assert shop.takes_units and not shop.fitness.is_lost


def test_storage_that_does_not_answer_here_may_answer_another_but_no_other_process(shop: DrawingShop) -> None:
    shop.before = raising(StorageUnavailable("no answer"))
    shop.store.submit(make_job(16))
    for _ in range(2):
        render_next(shop)
    assert shop.fitness.rest_s > 0 and not shop.fitness.is_lost


def test_two_units_that_went_wrong_one_after_the_other_are_enough(lost: DrawingShop) -> None:
    for _ in range(2):
        lost.store.submit(make_job(16))
    render_next(lost)
    assert not lost.fitness.is_lost
    render_next(lost)
    assert lost.fitness.is_lost


def test_one_that_makes_several_at_once_then_takes_no_more(lost: DrawingShop) -> None:
    lost.settings = lost.settings.model_copy(update={"units_at_once": 2, "rest_s": 0.0})
    for _ in range(6):
        lost.store.submit(make_job(16))
    wrong = sum(1 for _ in render_some(lost))
    assert 2 <= wrong <= 3 and lost.fitness.is_lost  # one may have been begun beside the second


def test_a_unit_made_between_them_is_proof_that_the_worker_can(lost: DrawingShop) -> None:
    wrong, fine = lost.before, type(lost).before
    for before in (wrong, fine, wrong):
        lost.store.submit(make_job(8))
        lost.before = before
        render_next(lost)
    assert not lost.fitness.is_lost


def test_it_stands_still_while_a_unit_makes_no_step(shop: DrawingShop) -> None:
    seen = list[float]()

    def slow(unit: Unit) -> None:
        time.sleep(REST_S)
        seen.append(shop.fitness.still_s)

    shop.before = slow
    shop.store.submit(make_job(8, steps=3))
    assert shop.fitness.still_s == 0
    render_next(shop)
    assert seen[0] >= REST_S
    assert shop.fitness.still_s == 0  # it has none


def test_what_any_of_its_units_does_is_proof_that_it_moves(shop: DrawingShop) -> None:
    shop.settings = shop.settings.model_copy(update={"units_at_once": 2})
    begun, another, seen = list[Unit](), threading.Event(), list[float]()

    def the_first_waits(unit: Unit) -> None:
        begun.append(unit)
        if len(begun) == 1:
            another.wait(10)
            seen.append(shop.fitness.still_s)
        elif len(begun) == 2:
            time.sleep(REST_S)
        else:
            another.set()

    shop.before = the_first_waits
    for _ in range(2):
        shop.store.submit(make_job(24))
    for _ in render_some(shop):
        pass
    assert seen[0] < REST_S  # though the first stood longer
