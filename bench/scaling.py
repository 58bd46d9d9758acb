"""How much sooner several workers make one long video: `python -m bench.scaling [--workers 1 2 4] [--json FILE]`.

A real API, a real job store that flushes every write, real workers that sleep where a GPU would compute
(`bench.load.sleeping`): for a chunk, and for each look at a window in the ratio of the published timings, where
refinement is 83 % of the time. So two cores can stand in for many GPUs. And the scheduler itself, of one worker whose
units take no time: what passes from the end of one unit to the beginning of the next, and how many are made a second.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.load.sleeping import Sleep
from service.database import connect
from service.jobs import Job
from service.settings import Settings
from service.store import Store
from tests.support.house import House, stored_job, until

STEPS, CHUNK_S = 8, 0.12
LOOK_S = 2 * CHUNK_S * 0.83 / 0.17 / STEPS  # the new frames of one window are those of two chunks


@dataclass(frozen=True)
class Row:
    """One video. asleep_s: what one worker sleeps for it; in_units_s: what all its units took together."""

    workers: int
    units: int
    seconds: float
    asleep_s: float
    in_units_s: float

    @property
    def between_ms(self) -> float:
        """From the end of a unit to the beginning of the next, where there is one worker."""
        return 1000 * (self.seconds - self.in_units_s) / self.units


def made(workers: int, frames: int, chunk_s: float, look_s: float) -> Row:
    """A refined video of so many frames, by so many workers."""
    asleep = {"LONGTAKE_BENCH_CHUNK_S": str(chunk_s), "LONGTAKE_BENCH_LOOK_S": str(look_s)}
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), forked=False, LONGTAKE_LEASE_TTL_S="30", LONGTAKE_SWEEP_INTERVAL_S="5", **asleep)
        try:
            for number in range(workers):
                house.run(f"worker-{number}", "bench.load.sleeping")
            until(lambda: all(house.beat(f"worker-{number}") == "ready" for number in range(workers)), "the workers")
            video = house.submit(num_frames=frames, refine={"steps": STEPS})
            ended = house.ended(video, 3600)
            if ended["status"] != "completed":
                raise RuntimeError(f"the video is {ended['status']}: {ended['error']}")
            return _row(house, video, workers, chunk_s, look_s)
        finally:
            house.close()


def _row(house: House, video: str, workers: int, chunk_s: float, look_s: float) -> Row:
    settings = Settings(redis_url=house.valkey.url)
    with connect(settings) as client:
        job, done = stored_job(client, video), Store(client, settings).committed(video)
    seconds = (job.completed_at or 0) - (job.started_at or 0)
    return Row(workers, len(done), seconds, _asleep_s(job, chunk_s, look_s), sum(unit.seconds for unit in done))


def _asleep_s(job: Job, chunk_s: float, look_s: float) -> float:
    recipe = Sleep(job.generation)
    tiles = [unit for unit in job.plan if unit.stage == "refine"]
    chunks = sum(unit.stage.is_chunk for unit in job.plan)
    return chunks * chunk_s + sum(recipe.looks(unit) for unit in tiles) * look_s


def table(rows: Sequence[Row], empty: Row) -> Table:
    shown = Table(title="One long video, by several workers")
    for name in ("workers", "units", "seconds", "asleep", "times one worker"):
        shown.add_column(name, justify="right")
    for row in rows:
        faster = f"{rows[0].seconds / row.seconds:.2f}"
        shown.add_row(str(row.workers), str(row.units), f"{row.seconds:.1f}", f"{row.asleep_s:.1f}", faster)
    a_second = f"{empty.units / empty.seconds:.1f} a second"
    shown.caption = f"units of no time, one worker: {a_second}, {empty.between_ms:.1f} ms between two"
    return shown


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4], help="how many, the first to compare with")
    parser.add_argument("--frames", type=int, default=480)
    parser.add_argument("--json", type=Path, help="write the figures there")
    asked = parser.parse_args(words)
    progress = Console(stderr=True)
    rows = list[Row]()
    for workers in asked.workers:
        progress.print(f"{workers} …", style="dim")
        rows.append(made(workers, asked.frames, CHUNK_S, LOOK_S))
    progress.print("units of no time …", style="dim")
    empty = made(1, asked.frames, 0.0, 0.0)
    Console(width=120).print(table(rows, empty))
    if asked.json:
        report = {
            "command": shlex.join(["python", "-m", "bench.scaling", *words]),
            "date": time.strftime("%Y-%m-%d"),
            "cores": os.cpu_count(),
            "rows": [asdict(row) for row in rows],
            "units_of_no_time": asdict(empty) | {"between_ms": empty.between_ms},
        }
        asked.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
