"""How many orders and looks a second the API answers, beside what the machine can do; and how long they take."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from bench.load.open_loop import Client, Load, events, highest_rate, offer, request
from bench.load.premises import ORDER, Row, opened
from tests.support.house import until
from tests.support.processes import Started
from tests.support.servers import free_port

P99_MS = 100.0


async def submit(scale: float) -> list[Row]:
    seconds = max(1.0, 4 * scale)
    with opened() as bench:
        async with Client(bench.house.port) as client:
            key = bench.key("a")
            (video,) = await bench.order(client, key, 1)
            order, look = (
                request("POST", "/v1/videos", key, ORDER),
                request("GET", f"/v1/videos/{video}", key),
            )
            orders = await _most(client, order, 202, start=20, seconds=seconds)
            looks = await _most(client, look, 200, start=40, seconds=seconds)
    with bare() as port:
        async with Client(port) as client:
            empty = await _most(client, request("POST", "/", body=ORDER), 202, start=200, seconds=seconds)
    return [
        Row("submit", "orders a second, p99 below 100 ms", "/s", orders.rate, "empty route", empty.rate),
        Row("submit", "p50 of an order at that rate", "ms", orders.p50_ms, "empty route", empty.p50_ms),
        Row("submit", "looks a second, p99 below 100 ms", "/s", looks.rate, "empty route", empty.rate),
        Row("submit", "p50 of a look at that rate", "ms", looks.p50_ms, "empty route", empty.p50_ms),
    ]


async def _most(client: Client, sent: bytes, expect: int, *, start: float, seconds: float) -> Load:
    async def send(_: int) -> None:
        await client.ask(sent, expect)

    await offer(send, start, 1)  # threads, connections, scripts
    best, _ = await highest_rate(send, p99_ms=P99_MS, start=start, seconds=seconds)
    return best


@contextmanager
def bare() -> Iterator[int]:
    """The port of an empty route."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        process = Started("bare", [sys.executable, "-m", "bench.load.bare", str(port)], {}, Path(folder))
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

                def answers() -> bool:
                    with suppress(httpx.TransportError):
                        return client.post("/").status_code == 202
                    return False

                until(answers, "the empty route", 20)
            yield port
        finally:
            process.kill()


async def latency(scale: float) -> list[Row]:
    seconds = max(2.0, 20 * scale)
    with opened() as bench:
        async with Client(bench.house.port) as client:
            key, other = bench.key("a"), bench.key("b")
            watched, over = await bench.order(client, key, 2)
            await client.ask(request("POST", f"/v1/videos/{over}/cancel", key), 200)
            calls = _calls(client, key, watched, over)
            await _all(calls, 1)
            alone = await _all(calls, seconds)
            await bench.order(client, other, int(60 + 8 * seconds))  # so that the workers have enough to do
            for name in ("render-1", "render-2"):
                bench.house.worker(name)
            busy = await _all(calls, seconds)
    rows = []
    for name, load in busy.items():
        for quantile_, of in (("p50", "p50_ms"), ("p99", "p99_ms")):
            with_, without = getattr(load, of), getattr(alone[name], of)
            rows.append(Row("latency", f"{quantile_} of {name}, two busy workers", "ms", with_, "no worker", without))
    return rows


Call = tuple[Callable[[int], Awaitable[None]], float]


def _calls(client: Client, key: str, watched: str, over: str) -> dict[str, Call]:
    """What is asked at once, and how often a second."""
    order, look = request("POST", "/v1/videos", key, ORDER), request("GET", f"/v1/videos/{watched}", key)

    async def submit_one(_: int) -> None:
        await client.ask(order, 202)

    async def look_once(_: int) -> None:
        await client.ask(look, 200)

    async def first_event(_: int) -> None:
        async for kind in events(client.port, f"/v1/videos/{over}/events", key):
            if kind:
                return
        raise EOFError("the stream ended without an event")

    return {"an order": (submit_one, 5), "a look": (look_once, 20), "the first event": (first_event, 5)}


async def _all(calls: dict[str, Call], seconds: float) -> dict[str, Load]:
    loads = await asyncio.gather(*(offer(send, rate, seconds) for send, rate in calls.values()))
    for name, load in zip(calls, loads, strict=True):
        if load.failed:
            raise RuntimeError(f"{load.failed} of {load.count} failed: {name}")
    return dict(zip(calls, loads, strict=True))
