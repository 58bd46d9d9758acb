"""How soon a short video has its first chunk behind another tenant's long one."""

from __future__ import annotations

import statistics

from bench.load.open_loop import Client, request
from bench.load.premises import Bench, Row, opened, until


async def fairness(scale: float) -> list[Row]:
    long, short = max(48, 8 * int(150 * scale)), 16
    with opened() as bench:
        bench.house.worker("render")
        async with Client(bench.house.port) as client:
            mine, theirs = bench.key("short"), bench.key("long")
            await _first_chunk(bench, client, mine, short)
            alone = [await _first_chunk(bench, client, mine, short) for _ in range(5)]
            (big,) = await bench.order(client, theirs, 1, num_frames=long)
            await until(lambda: bench.job(big).units_done >= 2, "two units")
            behind = [await _first_chunk(bench, client, mine, short) for _ in range(5)]
            goes_on = not bench.job(big).state.is_terminal
            await client.ask(request("POST", f"/v1/videos/{big}/cancel", theirs), 200)
            pair = [(await bench.order(client, key, 1, num_frames=long // 5))[0] for key in (mine, theirs)]
            await until(lambda: any(bench.job(one).state.is_terminal for one in pair), "an end", 300)
            made = sorted(bench.job(one).units_done for one in pair)
    if not goes_on:
        raise RuntimeError("the long video was over too soon: give it more frames")
    what = f"to the first chunk behind another tenant's {long} frames"
    return [
        Row("fairness", what, "s", statistics.median(behind), "alone", statistics.median(alone)),
        Row("fairness", "the worst of five", "s", max(behind), "alone", max(alone)),
        Row("fairness", "units made of the other when one of two is done", "", float(made[0]), "of it", float(made[1])),
    ]


async def _first_chunk(bench: Bench, client: Client, key: str, frames: int) -> float:
    """Seconds from the order to its first chunk, by the store's clock; the video is made to its end."""
    (video,) = await bench.order(client, key, 1, num_frames=frames)
    await until(lambda: bench.job(video).state.is_terminal, "its end", 120)
    job = bench.job(video)
    assert job.first_frame_at is not None
    return job.first_frame_at - job.created_at
