"""Requests at a constant rate, whatever becomes of those before: an open loop.

The latency of each counts from the moment it was meant to be sent. So a server that stalls for a second is late for
everyone who came meanwhile, and not for one only (no coordinated omission). Speaks as much HTTP/1.1 as that takes,
because a full client would need more of the machine than the server that is measured. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"
SOONEST_S = 0.05  # until the first request, so that it is not late already
LATE_S = 30.0  # then a request has failed
IDLE_S = 3.0  # a connection that was idle for longer is not used again: uvicorn closes it after 5


@dataclass(frozen=True)
class Load:
    """What came of requests at one rate."""

    rate: float  # a second, as wanted
    count: int
    failed: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    lag_ms: float  # how late, at the worst, a request was sent: what the generator itself could not do
    seconds: float  # until the last was answered

    def holds(self, p99_ms: float) -> bool:
        return not self.failed and self.p99_ms < p99_ms


async def offer(send: Callable[[int], Awaitable[None]], rate: float, seconds: float) -> Load:
    """`send(n)` for each n, `rate` of them a second. What raises, or takes longer than LATE_S, has failed."""
    latencies, failed, lag = list[float](), 0, 0.0

    async def one(number: int, at: float) -> None:
        nonlocal failed, lag
        lag = max(lag, time.monotonic() - at)
        try:
            async with asyncio.timeout(LATE_S):
                await send(number)
        except (OSError, ValueError, EOFError, TimeoutError):
            failed += 1
        latencies.append(time.monotonic() - at)

    began, count = time.monotonic() + SOONEST_S, max(1, int(rate * seconds))
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            at = began + number / rate
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            group.create_task(one(number, at))
    latencies.sort()
    return Load(
        rate=rate,
        count=count,
        failed=failed,
        p50_ms=1000 * quantile(latencies, 0.5),
        p99_ms=1000 * quantile(latencies, 0.99),
        worst_ms=1000 * latencies[-1],
        lag_ms=1000 * lag,
        seconds=time.monotonic() - began,
    )


async def highest_rate(
    send: Callable[[int], Awaitable[None]], *, p99_ms: float, start: float, seconds: float, halvings: int = 3
) -> tuple[Load, list[Load]]:
    """The load of the highest rate that holds, and all that were tried: up by half each time, then between.

    A rate that does not hold is tried once more, because others use the machine too.
    """
    tried = list[Load]()

    async def holds(rate: float) -> Load | None:
        for _ in range(2):
            tried.append(await offer(send, rate, seconds))
            await asyncio.sleep(0.5)
            if tried[-1].holds(p99_ms):
                return tried[-1]
        return None

    low, high = 0.0, math.inf
    best: Load | None = None
    while math.isinf(high) or halvings:
        rate = start if best is None and math.isinf(high) else low * 1.5 if math.isinf(high) else _between(low, high)
        halvings -= not math.isinf(high)
        if held := await holds(rate):
            low, best = rate, held
        else:
            high = rate
    return best or tried[0], tried


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that so many are not above."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _between(low: float, high: float) -> float:
    return math.sqrt(low * high) if low else high / 2


# HTTP


def request(method: str, path: str, key: str = "", body: Any = None) -> bytes:
    sent = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(sent)}"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += ["Content-Type: application/json"] if sent else []
    return "\r\n".join([*lines, "", ""]).encode() + sent


class Client:
    """Connections to one port that are kept and used again; as many as requests are open at once."""

    def __init__(self, port: int):
        self.port = port
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for _, _, writer in self._idle:
            writer.close()

    async def ask(self, sent: bytes, expect: int) -> bytes:
        """The body of the answer. ValueError where its status is another."""
        reader, writer = await self._connection()
        with ExitStack() as unanswered:
            unanswered.callback(writer.close)
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            unanswered.pop_all()
        self._idle.append((time.monotonic(), reader, writer))
        status = int(head[9:12])
        if status != expect:
            raise ValueError(f"{status}: {body[:500]!r}")
        return body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < IDLE_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(HOST, self.port)

    async def decoded(self, sent: bytes, expect: int) -> Any:
        return json.loads(await self.ask(sent, expect))


async def events(port: int, path: str, key: str) -> AsyncIterator[str]:
    """The kinds of server-sent events as they come; first of all '', when the stream has begun."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request("GET", path, key))
        head = await reader.readuntil(b"\r\n\r\n")
        if head[9:12] != b"200":
            raise ValueError(head.decode())
        yield ""
        while line := await reader.readline():
            if line.startswith(b"event: "):
                yield line[7:].strip().decode()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _length(head: bytes) -> int:
    _, _, told = head.lower().partition(b"content-length:")
    return int(told.partition(b"\r\n")[0] or 0)
