"""What the API carries on this machine: `python -m bench.api_load [--only NAME ...] [--scale 0.1] [--json FILE]`.

A real API process, a real job store that flushes every write, tiny render workers; requests come at a constant rate
(`bench.load.open_loop`) from the same machine, so figures are told beside others of the same run. Five questions:

submit    the highest rate of orders with 99 of 100 answered in 100 ms, beside an empty FastAPI route's
latency   how long an order, a look and the first event take, without workers and with two that are busy
queue     what 10,000 waiting videos cost: memory of the store and of the API, time of a claim, a look, a list
streams   1,000 event streams at once: what each costs, how soon all are told, how long a look takes meanwhile
fairness  how soon a short video has its first chunk behind another tenant's video of 1,200 frames
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shlex
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load.fairness import fairness
from bench.load.premises import Row
from bench.load.queue import queue
from bench.load.rates import latency, submit
from bench.load.streams import streams

PARTS: dict[str, Callable[[float], Coroutine[Any, Any, list[Row]]]] = {
    "submit": submit,
    "latency": latency,
    "queue": queue,
    "streams": streams,
    "fairness": fairness,
}


def table(rows: list[Row]) -> Table:
    shown = Table(title="What the API carries")
    for name in ("", "figure"):
        shown.add_column(name)
    for name in ("here", "beside", "ratio"):
        shown.add_column(name, justify="right")
    for row in rows:
        base = f"{_number(row.base)} {row.unit} ({row.beside})" if row.base is not None else ""
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
        shown.add_row(row.part, row.what, f"{_number(row.value)} {row.unit}", base, ratio)
    return shown


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def allow_many_files() -> None:
    """A thousand streams are a thousand sockets, here and in the API."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these questions")
    parser.add_argument("--scale", type=float, default=1.0, help="of counts and times; 1 is what docs/load.md has")
    parser.add_argument("--json", type=Path, help="write the figures there")
    asked = parser.parse_args(words)
    allow_many_files()
    rows, progress = list[Row](), Console(stderr=True)
    for name in asked.only:
        progress.print(f"{name} …", style="dim")
        rows += asyncio.run(PARTS[name](asked.scale))
    Console(width=140).print(table(rows))
    if asked.json:
        report = {
            "command": shlex.join(["python", "-m", "bench.api_load", *words]),
            "date": time.strftime("%Y-%m-%d"),
            "cores": os.cpu_count(),
            "rows": [asdict(row) | {"ratio": row.ratio} for row in rows],
        }
        asked.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
