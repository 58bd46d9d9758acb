"""How many workers a load needs: `python -m bench.capacity [--videos-a-day 100 1000 10000] [--pace STAGE=SECONDS ...]`.

A day of orders is simulated (`bench.capacity.fleet`), from the seconds that a unit of each stage takes, with more and
more workers, until 95 of 100 videos can be watched within `--start-s`. Orders come at random, in the evening `--peak`
times as many as on average.

`--trial MINUTES` holds the simulation to what is: orders come to a real service with real workers, and the same orders
are simulated, with the seconds that units took just before (`bench.capacity.trial`).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.capacity import trial
from bench.capacity.fleet import Order, Outcome, Pace, Work, p95, simulate, work
from models import catalog
from models.units import Stage

DAY_S = 86400.0
#: Of the published code on an A100 with 80 GB: 24 frames of 256x256 in 40 s and each further frame in 1.43 s, and the
#: refinement of 24 frames in 125 s, which is 30 looks at one window. The finishing joins segments and needs no GPU.
PUBLISHED: Pace = {Stage.INITIALIZE: 28.6, Stage.STREAM: 11.4, Stage.REFINE: 125 / 30, Stage.FINISH: 5.0}
BETWEEN_S = 0.007  # from one unit to the next, by `make bench-scaling`


@dataclass(frozen=True)
class Row:
    """A day's load, and the fewest workers that carry it."""

    videos: int
    refined: bool
    workers: int
    busy: float  # share of the day that they are in units
    first_s: float  # 95 of 100 can be watched so soon
    whole_s: float  # half are done so soon
    times_alone: float  # how much longer 95 of 100 take than with the fleet to themselves, at most


def a_day(videos: int, lengths: dict[int, float], works: dict[int, Work], peak: float, seed: int) -> list[Order]:
    """Orders at random over a day that begins when the fewest come; `peak` times as many as on average at the most."""
    rng, orders, now = random.Random(f"{seed} {videos}"), list[Order](), 0.0
    most = videos / DAY_S * peak
    while (now := now + rng.expovariate(most)) < DAY_S:
        if rng.random() * peak < 1 - (peak - 1) * math.cos(2 * math.pi * now / DAY_S):
            frames = rng.choices(list(lengths), list(lengths.values()))[0]
            orders.append(Order(now, works[frames]))
    return orders


def fewest(orders: Sequence[Order], start_s: float) -> tuple[int, Outcome]:
    """The fewest workers, to one in fifty, with which 95 of 100 videos can be watched within `start_s`."""

    def tried(workers: int) -> tuple[bool, Outcome]:
        outcome = simulate(orders, workers, BETWEEN_S)
        return p95(outcome.first_s) <= start_s, outcome

    low, high = 0, max(1, math.ceil(1.5 * sum(order.work.total_s for order in orders) / DAY_S))
    is_enough, outcome = tried(high)
    while not is_enough:
        low, high = high, math.ceil(1.25 * high) + 1
        is_enough, outcome = tried(high)
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        is_enough, found = tried(middle)
        if is_enough:
            high, outcome = middle, found
        else:
            low = middle
    return high, outcome


def planned(asked: argparse.Namespace) -> list[Row]:
    model, rows = catalog.find(asked.model), list[Row]()
    for refine_steps in (None, model.default_refine_steps):
        works = {frames: work(model, frames, refine_steps, asked.pace) for frames in asked.lengths}
        alone = {each: simulate([Order(0.0, each)], len(each.seconds)).whole_s[0] for each in works.values()}
        for videos in asked.videos_a_day:
            orders = a_day(videos, asked.lengths, works, asked.peak, asked.seed)
            workers, outcome = fewest(orders, asked.start_s)
            longer = [took / alone[order.work] for order, took in zip(orders, outcome.whole_s, strict=True)]
            busy = outcome.busy_s / workers / DAY_S
            first_s, whole_s = p95(outcome.first_s), statistics.median(outcome.whole_s)
            rows.append(Row(videos, refine_steps is not None, workers, busy, first_s, whole_s, p95(longer)))
    return rows


def plan_table(rows: Sequence[Row]) -> Table:
    shown = Table(title="Workers for a load")
    for name in ("videos a day", "refined", "workers", "busy", "first frames, p95", "whole, p50", "times alone, p95"):
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            f"{row.videos:,}",
            "yes" if row.refined else "no",
            str(row.workers),
            f"{row.busy:.0%}",
            f"{row.first_s:.0f} s",
            f"{row.whole_s / 60:.0f} min",
            f"{row.times_alone:.2f}",
        )
    return shown


def trial_table(rows: Sequence[trial.Row]) -> Table:
    shown = Table(title="The same orders")
    for name in ("", "measured", "simulated", "ratio"):
        shown.add_column(name, justify="right" if name else "left")
    for row in rows:
        shown.add_row(row.what, f"{row.measured:.3g}", f"{row.simulated:.3g}", f"{row.ratio:.2f}")
    return shown


def main(words: list[str]) -> None:
    parser = _parser()
    asked = parser.parse_args(words)
    try:
        asked.pace = dict(PUBLISHED) | {Stage(stage): seconds for stage, seconds in _numbers(asked.pace).items()}
        asked.lengths = {int(frames): weight for frames, weight in _numbers(asked.lengths).items()}
    except ValueError as error:
        parser.error(f"{error}: --pace takes STAGE=SECONDS, --lengths FRAMES=WEIGHT")
    if not 1 <= asked.peak <= 2:
        parser.error(f"--peak is from 1 to 2, not {asked.peak:g}")
    if asked.trial:
        found = trial.held(asked.trial, asked.workers, asked.load, asked.seed, asleep=asked.asleep)
        figures: dict[str, object] = asdict(found) | {"ratios": {row.what: row.ratio for row in found.rows}}
        shown = trial_table(found.rows)
    else:
        rows = planned(asked)
        figures, shown = {"pace": asked.pace, "rows": [asdict(row) for row in rows]}, plan_table(rows)
    Console(width=120).print(shown)
    if asked.json:
        command = shlex.join(["python", "-m", "bench.capacity", *words])
        told = {"command": command, "date": time.strftime("%Y-%m-%d"), **figures}
        asked.json.write_text(json.dumps(told, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos-a-day", nargs="+", type=int, default=[100, 1000, 10_000], metavar="N")
    parser.add_argument("--model", default="streaming-t2v", help="whose chunks and windows it is (%(default)s)")
    parser.add_argument(
        "--pace", nargs="+", default=[], metavar="STAGE=SECONDS",
        help="seconds a unit; of refine a look at a window. By default those published for an A100",
    )  # fmt: skip
    parser.add_argument(
        "--lengths", nargs="+", default=["80=6", "240=3", "1200=1"], metavar="FRAMES=WEIGHT",
        help="how many frames a video has, and how often (80=6 240=3 1200=1)",
    )  # fmt: skip
    parser.add_argument("--peak", type=float, default=2.0, help="times the average, 1 to 2 (%(default)s)")
    parser.add_argument("--start-s", type=float, default=60.0, help="95 of 100 are to be seen so soon (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trial", type=float, metavar="MINUTES", help="hold it to a real service for so long")
    parser.add_argument("--workers", type=int, default=2, help="of the trial (%(default)s)")
    parser.add_argument("--asleep", action="store_true", help="the trial's workers sleep, as one waits for a GPU")
    parser.add_argument("--load", type=float, default=0.7, help="of the trial: how busy they shall be (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


def _numbers(words: Sequence[str]) -> dict[str, float]:
    """NAME=NUMBER each. Raises ValueError."""
    return {name: float(number) for name, _, number in (word.partition("=") for word in words)}


if __name__ == "__main__":
    main(sys.argv[1:])
