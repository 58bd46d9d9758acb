"""What videos cost that wait: memory of the store and of the API, and the time of those who come meanwhile."""

from __future__ import annotations

import time

from bench.load.open_loop import Client, quantile, request
from bench.load.premises import ORDER, Bench, Row, opened


async def queue(scale: float) -> list[Row]:
    many, few = max(50, int(10_000 * scale)), 10
    with opened() as bench:
        async with Client(bench.house.port) as client:
            key, other = bench.key("a"), bench.key("b")
            (_, *some) = await bench.order(client, key, few)
            await _times(bench, client, key, some[0])  # what is loaded at the first call is no cost of a video
            small = await _times(bench, client, key, some[0])
            await bench.order(client, other, 200)  # the API has its threads and connections then
            before = bench.store_bytes(), bench.rss_mb()
            ids = await bench.order(client, key, many)
            after = bench.store_bytes(), bench.rss_mb()
            large = await _times(bench, client, key, ids[many // 2])
            keyed = await _keyed(bench, client, other, max(20, many // 20))
    rows = [
        Row("queue", f"the store's memory a video of {many} that wait", "bytes", (after[0] - before[0]) / many),
        Row("queue", "the same of an order with an Idempotency-Key", "bytes", keyed),
        Row("queue", f"memory of the API, {many} videos later", "MB", after[1], "before", before[1]),
    ]
    for what, seconds in large.items():
        rows.append(Row("queue", f"{what}, {many} wait", "ms", 1000 * seconds, f"{few} wait", 1000 * small[what]))
    return rows


async def _keyed(bench: Bench, client: Client, key: str, count: int) -> float:
    before = bench.store_bytes()
    for number in range(count):
        sent = request("POST", "/v1/videos", key, ORDER)
        line = f"Idempotency-Key: bench-{number}\r\n".encode()
        await client.ask(sent.replace(b"Content-Length", line + b"Content-Length", 1), 202)
    return (bench.store_bytes() - before) / count


async def _times(bench: Bench, client: Client, key: str, video: str) -> dict[str, float]:
    """Seconds, one call after another: what a tenth stays below, which those who share the machine disturb least."""

    def claim() -> None:
        claimed = bench.store.claim_next("bench")
        assert claimed is not None
        spent.append(time.perf_counter() - began)
        bench.store.release(claimed)

    spent = list[float]()
    for _ in range(50):
        began = time.perf_counter()
        claim()
    times = {"a claim": quantile(sorted(spent), 0.1)}
    for what, path in {"a look": f"/v1/videos/{video}", "a list of 10": "/v1/videos?limit=10"}.items():
        spent, sent = [], request("GET", path, key)
        for _ in range(50):
            began = time.perf_counter()
            await client.ask(sent, 200)
            spent.append(time.perf_counter() - began)
        times[what] = quantile(sorted(spent), 0.1)
    return times
