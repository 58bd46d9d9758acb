"""Feeds: what happens to videos, to however many listen, over a few connections a process.

What is kept stands in each job's Redis stream, under the place that a listener may go on from. What is new comes
over one subscription to all channels, and is handed to those that listen to that job; steps come over it alone,
because the next one makes them old. A subscription can miss something (a restart, a full queue), so a listener
looks into the stream again whenever it may have, and at every `TICK_S` in any case: nothing that is kept is lost,
doubled or out of order. Knows nothing of HTTP. Belongs to one event loop; a process that nobody listens to has
neither task nor connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from service.database import as_mapping, failures
from service.errors import StoreUnavailable
from service.jobs import JobState
from service.keys import key
from service.settings import Settings

TICK_S = 15.0
AGAIN_S = 0.5
QUEUE_LENGTH = 100
CONNECTIONS = 4  # one of them is the subscription's
START = "0-0"
ENDS = ("video.completed", "video.failed", "video.cancelled")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `place` is where in the stream it stands; '' for a step, which stands nowhere."""

    place: str
    kind: str
    id: str
    at: float
    units_done: int
    frames: int
    data: dict[str, Any]


class Listener:
    """One who listens to one job: an iterator of its events, with None where nothing happened for a while."""

    def __init__(self, feeds: Feeds, job_id: str, after: str):
        self.job_id, self._feeds, self._after = job_id, feeds, after
        self._fresh: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LENGTH)
        self._look_back = True  # whether the stream may hold what did not come over the subscription

    def hand(self, event: Event) -> None:
        """Never waits: one that is slow misses steps, and reads the rest from the stream when it is back."""
        if self._fresh.full():
            self.look_back()
        else:
            self._fresh.put_nowait(event)

    def look_back(self) -> None:
        self._look_back = True
        while not self._fresh.empty():
            self._fresh.get_nowait()
        self._fresh.put_nowait(_NUDGE)

    async def events(self) -> AsyncGenerator[Event | None]:
        """Until the job has ended or is deleted, or the process stops; everything from `after` on, then what comes."""
        async with self._feeds.listening(self):
            while not self._feeds.closed:
                if self._look_back:
                    self._look_back = False  # before the look: what comes meanwhile asks for another one
                    try:
                        lives = await self._feeds.lives(self.job_id)  # asked first: what is over tells nothing new then
                        missed = await self._feeds.kept(self.job_id, self._after)
                    except StoreUnavailable:
                        self._look_back = True
                        yield None
                        await asyncio.sleep(AGAIN_S)
                        continue
                    for event in missed:
                        self._after = event.place
                        yield event
                    if not lives:
                        return
                try:
                    event = await asyncio.wait_for(self._fresh.get(), TICK_S)
                except TimeoutError:
                    self._look_back = True
                    yield None
                    continue
                if event is _NUDGE or (event.place and not _is_after(event.place, self._after)):
                    continue
                self._after = event.place or self._after
                yield event
                if event.kind in ENDS:
                    return


class Feeds:
    """All listeners of one process."""

    def __init__(self, settings: Settings):
        self._settings, self.closed = settings, False
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._client: Any = None  # redis types every command for its sync and its async client at once
        self._reader: asyncio.Task[None] | None = None

    def listen(self, job_id: str, after: str = START) -> Listener:
        return Listener(self, job_id, after)

    def close(self) -> None:
        """Every listener ends at once, so that a stopping process need not wait for them."""
        self.closed = True
        for listener in list(self._everyone()):
            listener.look_back()

    @asynccontextmanager
    async def listening(self, listener: Listener) -> AsyncIterator[None]:
        """Inside, the listener is handed what comes. The first one in connects, the last one out disconnects."""
        self._listeners[listener.job_id].add(listener)
        if self._reader is None:
            self._client = _connect(self._settings)
            self._reader = asyncio.create_task(self._read_on(self._client), name="feeds")
        try:
            yield
        finally:
            self._listeners[listener.job_id].discard(listener)
            if not self._listeners[listener.job_id]:
                del self._listeners[listener.job_id]
            if not self._listeners:
                self._reader.cancel()
                self._reader = None

    async def kept(self, job_id: str, after: str) -> list[Event]:
        """The events of the stream after a place."""
        with failures():
            rows = await self._client.xrange(key("events", job_id), f"({after}")
        return [_read(place, fields) for place, fields in rows]

    async def lives(self, job_id: str) -> bool:
        """Whether the job is there and has not ended."""
        with failures():
            state = await self._client.hget(key("job", job_id), "state")
        return state is not None and not JobState(state).is_terminal

    async def _read_on(self, client: redis.asyncio.Redis) -> None:
        """Hand on what comes, whatever becomes of the connection, until it is cancelled."""
        task = asyncio.current_task()
        assert task is not None
        try:
            while not task.cancelling():  # where a connection is closed too slowly, that error hides the cancelling
                try:
                    await self._read_once(client)
                except (RedisError, OSError) as error:
                    log.warning("subscription lost: %s", error)
                await asyncio.sleep(AGAIN_S)
        finally:
            await client.aclose()

    async def _read_once(self, client: redis.asyncio.Redis) -> None:
        async with client.pubsub() as pubsub:
            await pubsub.psubscribe(key("events", "*"))
            while True:
                message = await pubsub.get_message(timeout=AGAIN_S)
                if message and message["type"] == "psubscribe":  # what came before it may have been missed
                    for listener in list(self._everyone()):
                        listener.look_back()
                elif message and message["type"] == "pmessage":
                    self._hand_on(message["channel"].removeprefix(key("events", "")), message["data"])

    def _everyone(self) -> Iterator[Listener]:
        for listeners in self._listeners.values():
            yield from listeners

    def _hand_on(self, job_id: str, told: str) -> None:
        if job_id in self._listeners:
            message = json.loads(told)
            event = _read(message.get("place", ""), as_mapping(message["fields"]))
            for listener in self._listeners[job_id]:
                listener.hand(event)


def _connect(settings: Settings) -> redis.asyncio.Redis:
    """A client that a thousand listeners at once share: they wait for each other, and not on sockets of their own."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_timeout=settings.redis_timeout_s,
        socket_connect_timeout=settings.redis_timeout_s,
        health_check_interval=10,
        max_connections=CONNECTIONS,
    )
    return redis.asyncio.Redis.from_pool(pool)


_NUDGE = Event("", "", "", 0, 0, 0, {})


def _read(place: str, fields: Mapping[str, str]) -> Event:
    return Event(
        place=place,
        kind=fields["type"],
        id=fields.get("id", ""),
        at=int(fields["at"]) / 1000,
        units_done=int(fields["units_done"]),
        frames=int(fields["frames"]),
        data=json.loads(fields.get("data", "{}")),
    )


def _is_after(place: str, other: str) -> bool:
    return _order(place) > _order(other)


def _order(place: str) -> tuple[int, int]:
    milliseconds, _, count = place.partition("-")
    return int(milliseconds), int(count)
