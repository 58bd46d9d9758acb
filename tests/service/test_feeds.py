"""Nothing that is kept is missed, doubled or out of order, however it comes about; and listening is cheap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing

import psutil
import pytest
import redis
from redis.asyncio.client import PubSub

from service import feeds
from service.feeds import Event, Feeds
from service.jobs import Job
from service.settings import Settings
from service.store import Store
from tests.service.conftest import done, finish, make_job
from tests.support.servers import Valkey

SLOW_S = 60.0  # on a busy machine; nothing here takes so long where it is not
WHOLE = ["video.in_progress", *["video.chunk.completed"] * 3, "video.completed"]
Listen = Callable[..., Awaitable[list[Event]]]


@pytest.fixture
def feed(settings: Settings) -> Iterator[Feeds]:
    yield Feeds(settings)


async def heard(feed: Feeds, job: Job, after: str = feeds.START, until: str | None = None) -> list[Event]:
    """Everything that is told of a job to its end, or to the first event of a kind."""
    events: list[Event] = []
    async with aclosing(feed.listen(job.id, after).events()) as told:
        async for event in told:
            if event:
                events.append(event)
            if event and event.kind == until:
                break
    return events


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events if event.place]


def test_an_ended_video_is_told_from_its_start_or_from_any_place(store: Store, feed: Feeds) -> None:
    job, _ = store.submit(make_job())
    finish(store)

    async def listen() -> None:
        events = await heard(feed, job)
        assert kinds(events) == WHOLE
        for i, event in enumerate(events):
            assert await heard(feed, job, event.place) == events[i + 1 :]

    asyncio.run(listen())


def test_whoever_listens_hears_every_event_as_it_happens(store: Store, feed: Feeds) -> None:
    job, _ = store.submit(make_job())

    async def listen() -> None:
        listeners = [asyncio.create_task(heard(feed, job)) for _ in range(20)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(finish, store)
        for events in await asyncio.wait_for(asyncio.gather(*listeners), SLOW_S):
            assert kinds(events) == WHOLE
            assert len({event.place for event in events}) == len(events)

    asyncio.run(listen())


def test_steps_are_told_to_those_who_listen_and_kept_for_nobody(store: Store, feed: Feeds) -> None:
    job, _ = store.submit(make_job())

    def work() -> None:
        claim = store.claim_next("w")
        assert claim is not None
        for step in (0, 1, 1, 2):
            store.renew(claim, step, 2 if step else 0)
        store.commit(claim, done(claim))
        finish(store)

    async def listen() -> None:
        listener = asyncio.create_task(heard(feed, job))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(work)
        steps = [event.data for event in await asyncio.wait_for(listener, SLOW_S) if event.kind == "video.progress"]
        assert [(step["step"], step["steps"], step["stage"]) for step in steps] == [
            (1, 2, "initialize"),
            (2, 2, "initialize"),
        ]
        assert kinds(await heard(feed, job)) == WHOLE

    asyncio.run(listen())


def test_what_happened_while_the_store_was_away_is_told_when_it_is_back(
    store: Store, feed: Feeds, redis_server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "AGAIN_S", 0.1)
    job, _ = store.submit(make_job())

    async def listen() -> None:
        listener = asyncio.create_task(heard(feed, job))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(redis_server.restart)
        await asyncio.to_thread(finish, store)
        assert kinds(await asyncio.wait_for(listener, 10)) == WHOLE

    asyncio.run(listen())


def test_what_the_subscription_lost_is_found_at_the_next_look(
    store: Store, feed: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "TICK_S", 0.2)
    job, _ = store.submit(make_job())

    async def listen() -> None:
        listener = asyncio.create_task(heard(feed, job))
        await asyncio.sleep(0.1)
        monkeypatch.setattr(Feeds, "_hand_on", lambda *_: None)
        await asyncio.to_thread(finish, store)
        assert kinds(await asyncio.wait_for(listener, SLOW_S)) == WHOLE

    asyncio.run(listen())


def test_a_slow_listener_misses_steps_but_no_event(store: Store, feed: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "QUEUE_LENGTH", 3)
    job, _ = store.submit(make_job(num_frames=160))

    def work() -> None:
        while claim := store.claim_next("w"):
            for step in range(1, 10):
                store.renew(claim, step, 9)
            store.commit(claim, done(claim))

    async def listen() -> None:
        told = feed.listen(job.id).events()
        first = asyncio.create_task(anext(told))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(work)
        await asyncio.sleep(0.2)
        events = [await first, *[event async for event in told]]
        assert kinds([event for event in events if event]) == [WHOLE[0], *[WHOLE[1]] * 19, WHOLE[-1]]

    asyncio.run(listen())


def test_a_deleted_video_is_told_no_more(store: Store, feed: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "TICK_S", 0.2)
    job, _ = store.submit(make_job())

    async def listen() -> None:
        listener = asyncio.create_task(heard(feed, job))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(store.delete, job.tenant, job.id)
        assert await asyncio.wait_for(listener, SLOW_S) == []

    asyncio.run(listen())


def test_a_connection_that_closes_too_slowly_keeps_nobody(
    store: Store, feed: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = store.submit(make_job())
    close = PubSub.aclose

    async def close_slowly(self: PubSub) -> None:
        await close(self)
        raise redis.TimeoutError("Timed out closing connection")

    monkeypatch.setattr(PubSub, "aclose", close_slowly)

    async def listen() -> None:
        listener = asyncio.create_task(heard(feed, job))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(finish, store)
        assert kinds(await asyncio.wait_for(listener, SLOW_S)) == WHOLE
        (reader,) = (task for task in asyncio.all_tasks() if task.get_name() == "feeds")
        await asyncio.wait([reader], timeout=2)
        assert reader.done()

    asyncio.run(listen())


def test_a_stopping_process_keeps_nobody(store: Store, feed: Feeds) -> None:
    job, _ = store.submit(make_job())

    async def listen() -> None:
        listener = asyncio.create_task(heard(feed, job))
        await asyncio.sleep(0.1)
        feed.close()
        assert await asyncio.wait_for(listener, 1) == []

    asyncio.run(listen())


def test_a_thousand_idle_listeners_cost_a_few_connections_and_almost_no_time(
    store: Store, feed: Feeds, client: redis.Redis
) -> None:
    jobs = [store.submit(make_job())[0] for _ in range(100)]
    before = client.info("clients")["connected_clients"]
    threads = psutil.Process().num_threads()

    async def listen() -> None:
        listeners = [asyncio.create_task(heard(feed, jobs[n % 100], until=WHOLE[1])) for n in range(1000)]
        await asyncio.sleep(2.0)
        assert client.info("clients")["connected_clients"] - before <= feeds.CONNECTIONS
        assert psutil.Process().num_threads() <= threads + 1
        costs = list[float]()
        while len(costs) < 3 or min(costs) > 0.1:  # on a busy machine the last of them may still be sitting down
            assert len(costs) < 30, f"idle is idle, and not {min(costs):.2f} s a second"
            began = time.process_time()
            await asyncio.sleep(1.0)
            costs.append(time.process_time() - began)
        claim = await asyncio.to_thread(store.claim_next, "w")
        assert claim is not None
        await asyncio.to_thread(store.commit, claim, done(claim))
        first = [one for n, one in enumerate(listeners) if jobs[n % 100].id == claim.job.id]
        told = await asyncio.wait_for(asyncio.gather(*first), SLOW_S)
        assert [kinds(events) for events in told] == [WHOLE[:2]] * 10
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
        assert not feed._listeners and feed._reader is None

    asyncio.run(listen())
    time.sleep(0.2)
    assert client.info("clients")["connected_clients"] <= before
