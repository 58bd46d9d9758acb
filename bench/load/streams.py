"""What event streams cost, and how soon everyone is told."""

from __future__ import annotations

import asyncio
import time

from bench.load.open_loop import Client, events, offer, quantile, request
from bench.load.premises import Row, opened, until


async def streams(scale: float) -> list[Row]:
    count, tenants, seconds = max(20, int(1000 * scale)), 4, min(5.0, max(1.0, 10 * scale))
    videos = count // 10  # ten watch each
    with opened() as bench:
        async with Client(bench.house.port) as client:
            keys = [bench.key(f"tenant-{n}") for n in range(tenants)]
            owners = [(key, video) for key in keys for video in await bench.order(client, key, -(-videos // tenants))]
            look = request("GET", f"/v1/videos/{owners[0][1]}", owners[0][0])

            async def look_once(_: int) -> None:
                await client.ask(look, 200)

            await offer(look_once, 20, 1)
            alone, before = await offer(look_once, 20, seconds), bench.rss_mb()
            audience = Audience(client.port)
            watching = [asyncio.create_task(audience.watch(*owners[n % len(owners)], 0.005 * n)) for n in range(count)]
            await until(lambda: audience.begun == count, "every stream")
            open_rss = bench.rss_mb()
            meanwhile = await offer(look_once, 20, seconds)
            began = time.monotonic()
            for key, video in owners:
                await client.ask(request("POST", f"/v1/videos/{video}/cancel", key), 200)
            await asyncio.gather(*watching)
    told = sorted(at - began for at in audience.told)
    if len(told) != count:
        raise RuntimeError(f"{count - len(told)} of {count} streams were not told of the end")
    return [
        Row("streams", f"p50 of a look, {count} streams open", "ms", meanwhile.p50_ms, "none open", alone.p50_ms),
        Row("streams", f"p99 of a look, {count} streams open", "ms", meanwhile.p99_ms, "none open", alone.p99_ms),
        Row("streams", "memory of the API a stream", "kB", 1000 * (open_rss - before) / count),
        Row("streams", f"memory of the API, {count} streams open", "MB", open_rss, "none open", before),
        Row("streams", "streams told of the end, of those open", "", float(len(told)), "open", float(count)),
        Row("streams", f"half are told of {len(owners)} ends at once", "s", quantile(told, 0.5)),
        Row("streams", "all are told", "s", told[-1]),
    ]


class Audience:
    """Those who watch, and when each was told of the end."""

    def __init__(self, port: int):
        self._port, self.begun, self.told = port, 0, list[float]()

    async def watch(self, key: str, video: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        async for kind in events(self._port, f"/v1/videos/{video}/events", key):
            self.begun += not kind
            if kind == "video.cancelled":
                self.told.append(time.monotonic())
