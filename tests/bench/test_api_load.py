"""The load bench says the truth: a server that stalls is late for all who came meanwhile; and its questions have
answers, here of a few videos and streams."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from bench import api_load
from bench.load.open_loop import Client, highest_rate, offer, request

STALL_S = 0.5


class Server:
    """Answers at once, but to no one while it stalls: for STALL_S from the first request on."""

    def __init__(self, stall_s: float):
        self._stall_s, self._until, self.port = stall_s, 0.0, 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._until = self._until or time.monotonic() + self._stall_s
        while await reader.read(65536):
            await asyncio.sleep(max(0.0, self._until - time.monotonic()))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()


def test_a_server_that_stalls_is_late_for_everyone_who_came_meanwhile() -> None:
    """Half a second of stalling in 0.8 s of requests: most of them are late, and not one."""

    async def measured() -> tuple[float, float, int]:
        async with Server(STALL_S) as server, Client(server.port) as client:
            sent = request("GET", "/")

            async def send(_: int) -> None:
                await client.ask(sent, 200)

            load = await offer(send, rate=100, seconds=0.8)
            return load.p99_ms, load.p50_ms, load.failed

    p99_ms, p50_ms, failed = asyncio.run(measured())
    assert failed == 0
    assert p99_ms > 900 * STALL_S  # who came first has waited all of it
    assert p50_ms > 50  # and whoever came in the middle what was left of it


def test_a_server_that_always_stalls_holds_no_rate() -> None:
    async def slow(_: int) -> None:
        await asyncio.sleep(0.05)

    _, tried = asyncio.run(highest_rate(slow, p99_ms=20, start=8, seconds=0.2, halvings=1))
    assert not any(load.holds(20) for load in tried)


@pytest.mark.long
@pytest.mark.processes
def test_waiting_videos_are_small_and_all_who_watch_are_told(tmp_path: Path) -> None:
    """Also with the wake-ups that are sent for each: those are in the store too."""
    api_load.main(["--only", "queue", "streams", "--scale", "0.05", "--json", str(tmp_path / "figures.json")])
    report = json.loads((tmp_path / "figures.json").read_text())
    rows = {row["what"]: row for row in report["rows"]}
    (a_video,) = [row["value"] for what, row in rows.items() if what.startswith("the store's memory a video")]
    assert 500 < a_video < 4000
    assert rows["streams told of the end, of those open"]["ratio"] == 1
