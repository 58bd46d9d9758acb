"""What a round of the sweep repairs. Real store, real storage, a real broker; nobody else works meanwhile."""

from __future__ import annotations

import signal
import time
from functools import partial
from threading import Event
from types import SimpleNamespace

import pytest
import redis
from celery import Celery

from service import queue
from service.errors import NotFound, StoreUnavailable
from service.keys import key
from service.queue import waiting
from service.settings import Settings
from service.store import Store
from tests.support.servers import free_port
from tests.workers.conftest import DrawingShop, make_job
from workers import courier, renderer
from workers.render import render_next
from workers.sweep import Sweeper, sweep


@pytest.fixture
def app(settings: Settings) -> Celery:
    return queue.make_celery(settings)


def test_work_that_nobody_was_told_of_gets_one_wake_up(shop: DrawingShop, app: Celery) -> None:
    shop.store.submit(make_job(16))
    for _ in range(5):
        sweep(shop.store, shop.objects, app)
    assert waiting(app, queue.RENDER_QUEUE) == 1  # they do not pile up
    assert waiting(app, queue.DELIVER_QUEUE) == 1


def test_no_work_wakes_no_renderer(shop: DrawingShop, app: Celery) -> None:
    sweep(shop.store, shop.objects, app)
    assert waiting(app, queue.RENDER_QUEUE) == 0


def test_the_unit_of_a_lost_worker_can_be_claimed_again(shop: DrawingShop, app: Celery, settings: Settings) -> None:
    job, _ = shop.store.submit(make_job(16))
    lost = shop.store.claim_next("a worker that dies")
    assert lost is not None and shop.store.claim_next("another") is None
    time.sleep(1.1 * settings.lease_ttl_s)
    sweep(shop.store, shop.objects, app)
    found = shop.store.claim_next("another")
    assert found is not None and found.job.id == job.id and found.fence > lost.fence


def test_the_objects_of_a_deleted_video_are_erased_and_no_others(
    shop: DrawingShop, app: Celery, settings: Settings
) -> None:
    doomed, _ = shop.store.submit(make_job(16))
    kept, _ = shop.store.submit(make_job(16))
    while render_next(shop):
        pass
    shop.store.delete(doomed.tenant, doomed.id)
    time.sleep(1.1 * settings.lease_ttl_s)  # whoever was writing to it has stopped by then
    sweep(shop.store, shop.objects, app)
    assert shop.objects.list(f"{doomed.tenant}/{doomed.id}/") == []
    assert shop.objects.list(f"{kept.tenant}/{kept.id}/")


def test_a_video_whose_time_is_over_leaves_no_object(
    shop: DrawingShop, app: Celery, settings: Settings, client: redis.Redis
) -> None:
    fleeting = Store(client, settings.model_copy(update={"video_ttl_s": 20.0}))
    doomed, _ = fleeting.submit(make_job(16))
    while render_next(shop):
        pass
    kept, _ = shop.store.submit(make_job(16))
    while render_next(shop):
        pass
    sweep(shop.store, shop.objects, app)
    assert shop.objects.list(f"{doomed.tenant}/{doomed.id}/")
    client.zincrby(key("expiries"), -20_000, doomed.id)  # they are over
    sweep(shop.store, shop.objects, app)
    assert shop.objects.list(f"{doomed.tenant}/{doomed.id}/") == []
    assert shop.objects.list(f"{kept.tenant}/{kept.id}/")
    with pytest.raises(NotFound):
        shop.store.get(doomed.tenant, doomed.id)


def test_what_a_worker_left_that_lost_its_unit_is_erased_after_the_end_of_the_job(
    shop: DrawingShop, app: Celery, settings: Settings
) -> None:
    job, _ = shop.store.submit(make_job(16))
    folder = f"{job.tenant}/{job.id}/"
    stale = shop.store.claim_next("a worker that is paused")
    assert stale is not None
    time.sleep(1.1 * settings.lease_ttl_s)
    sweep(shop.store, shop.objects, app)
    while render_next(shop):
        pass
    made = shop.objects.list(folder)
    left = [f"{folder}states/initialize-0.f{stale.fence}.safetensors", f"{folder}preview/00000000.f{stale.fence}.m4s"]
    for name in left:
        shop.objects.put(name, b"late")
    sweep(shop.store, shop.objects, app)
    assert shop.objects.exists(left[0]), "it might still be writing"
    time.sleep(2.1 * settings.lease_ttl_s)
    sweep(shop.store, shop.objects, app)
    assert shop.objects.list(folder) == made
    shop.objects.put(left[0], b"later still")
    sweep(shop.store, shop.objects, app)
    assert shop.objects.exists(left[0]), "a job is looked at once; deleting it takes the rest"


def test_a_job_whose_objects_others_play_is_not_tidied(shop: DrawingShop, app: Celery, client: redis.Redis) -> None:
    job, _ = shop.store.submit(make_job(16))
    lost = shop.store.claim_next("a worker that gives up")
    assert lost is not None
    shop.store.release(lost)
    while render_next(shop):
        pass
    client.sadd(key("borrowers", job.id), "video_of_another")
    assert shop.store.fences(job.id) is None
    client.delete(key("borrowers", job.id))
    assert shop.store.fences(job.id) == {2, 3}
    shop.store.delete(job.tenant, job.id)
    assert shop.store.fences(job.id) is None


def test_a_round_that_fails_is_followed_by_another(shop: DrawingShop, app: Celery) -> None:
    rounds = []

    class Away:
        def expire_leases(self) -> int:
            rounds.append(time.monotonic())
            raise StoreUnavailable("no answer") if len(rounds) == 1 else ZeroDivisionError("a bug")

    sweeper = Sweeper([partial(sweep, Away(), shop.objects, app)], interval_s=0.02)  # type: ignore[arg-type]
    sweeper.start()
    time.sleep(0.3)
    sweeper.stop()
    sweeper.join(5)
    assert len(rounds) >= 3 and not sweeper.is_alive()


def test_a_broker_that_is_away_is_a_store_that_is_away(settings: Settings) -> None:
    """Which puts a round off, and is no failure of it."""
    nowhere = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    with pytest.raises(StoreUnavailable):
        waiting(queue.make_celery(nowhere), queue.RENDER_QUEUE)


def test_work_is_put_off_in_a_line_while_the_store_is_away(
    shop: DrawingShop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Away:
        def __getattr__(self, name: str) -> object:
            raise StoreUnavailable("no answer")

    shop.store = Away()  # type: ignore[assignment]
    shop.ready.set()
    monkeypatch.setattr(renderer, "opened", [shop])
    monkeypatch.setattr(courier, "opened", [SimpleNamespace(deliverer=Away(), leaving=Event())])
    kept = signal.getsignal(signal.SIGTERM)
    try:
        renderer.render()
        courier.deliver()
    finally:
        signal.signal(signal.SIGTERM, kept)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["work put off: no answer", "delivery put off: no answer"]


def test_a_courier_that_is_asked_to_leave_begins_no_further_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is due: who takes its place posts that."""
    rounds = list[int]()

    class Busy:
        def deliver_due(self) -> int:
            rounds.append(len(rounds))
            if len(rounds) == 3:
                courier.close_office()
            return 1

    office = SimpleNamespace(deliverer=Busy(), leaving=Event(), sweeper=SimpleNamespace(stop=lambda: None))
    monkeypatch.setattr(courier, "opened", [office])
    courier.deliver()
    assert rounds == [0, 1, 2]
