"""Whether a long video costs a family more than a short one: `python -m bench.families [--chunks 50] [--json FILE]`.

Every family with a tiny checkpoint of its real classes and random weights (tests/support/tiny), without the service,
each in a process of its own: seconds a chunk, bytes of the state, and the memory that the process holds, early and at
the end. The seconds say nothing of the released weights; that nothing grows says the same of them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
import torch
from rich.console import Console
from rich.table import Table

from longtake.checkpoints import stranger
from models import families
from models.loading import load_model
from models.recipe import Recipe
from models.request import default_request
from tests.support import tiny
from tests.support.tiny import drift
from tests.support.tiny.streamed import picture

EARLY = 10  # chunks after which caches have filled
AT_REST = 5  # chunks of which the least counts: between two looks one may hold what it is about to hand on
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Row:
    """state_bytes: what chunks 1 and the last leave. memory_mb: that the process holds by chunk `EARLY` and by the
    last, the least of `AT_REST` chunks."""

    family: str
    a_chunk_s: float
    state_bytes: tuple[int, int]
    memory_mb: tuple[float, float]


def made(name: str, chunks: int, folder: Path) -> Row:
    """One long video, here and now; nothing but the last state is kept."""
    torch.set_num_threads(1)
    families.look_in(drift.write_family(folder / "families"))
    built = tiny.families()[name]
    weights = built.build(folder / name)
    family = families.known()[getattr(built, "FAMILY", name)]
    facts = stranger.look_at(str(weights)).facts
    model = family.describe(name, str(weights), facts, sizes=(built.SIZE,), **built.OPTIONS)
    frames = model.chunk_frames + (chunks - 1) * model.new_frames
    image = None if "text" in model.inputs else picture(1)
    request = replace(default_request(model, "a boat", num_frames=frames, seed=1, refine=False), steps=2, image=image)
    sizes, held, began = list[int](), list[float](), time.monotonic()
    for _, unit in Recipe(load_model(model, weights, device="cpu"), model, request).generate():
        sizes.append(len(unit.state))
        held.append(_memory_mb())
    memory = min(held[EARLY - AT_REST : EARLY]), min(held[-AT_REST:])
    return Row(name, (time.monotonic() - began) / chunks, (sizes[0], sizes[-1]), memory)


def _memory_mb() -> float:
    """Resident memory of this process, without the free pages that its allocator keeps for the next chunk."""
    ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss / MEGABYTE


def elsewhere(name: str, chunks: int) -> Row:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "bench.families", "--only", name, "--chunks", str(chunks)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise SystemExit(f"{name}: {told.stderr[-2000:]}")
    row = json.loads(told.stdout.splitlines()[-1])
    return Row(row["family"], row["a_chunk_s"], tuple(row["state_bytes"]), tuple(row["memory_mb"]))


def table(rows: list[Row], chunks: int) -> Table:
    shown = Table(
        "family", "a chunk", "state, first", "last", f"memory, chunk {EARLY}", f"{chunks}", title="Long videos"
    )
    for row in rows:
        memory = [f"{held:.1f} MB" for held in row.memory_mb]
        sizes = [f"{size:,} B" for size in row.state_bytes]
        shown.add_row(row.family, f"{row.a_chunk_s:.2f} s", *sizes, *memory)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=50)
    parser.add_argument("--only")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.only:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asdict(made(asked.only, asked.chunks, Path(folder)))))
        return
    console = Console(stderr=True)
    rows = []
    for name in tiny.families():
        console.print(f"{name} …")
        rows.append(elsewhere(name, asked.chunks))
    Console().print(table(rows, asked.chunks))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
