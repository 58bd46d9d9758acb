"""What a frame costs in a longer video: `python -m bench.length [--frames 120 240 1200] [--picture FILE]`.

The bundled model without the service, streamed and refined in the order of the plan, each length in a process of its
own: seconds of work a frame, the most memory that the process has held, and how much was streamed when the first
refined frames came. The first two are to be the same however long the video is. Few denoising steps a chunk, as their
number changes neither.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models import catalog
from models.evaluation.plot import plot
from models.loading import load_pipeline
from models.recipe import Recipe
from models.request import RefineOptions, VideoRequest

STEPS, REFINE_STEPS = 2, 8
PROMPT = "a red circle moving right on a black background"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Row:
    """streamed_first: frames of the preview that were there when the first refined ones came."""

    frames: int
    streaming_s: float
    refinement_s: float
    loaded_mb: float  # of memory, before the first unit
    peak_mb: float
    over_time_mb: tuple[float, ...]  # after each unit
    streamed_first: int

    @property
    def a_frame_ms(self) -> float:
        return 1000 * (self.streaming_s + self.refinement_s) / self.frames


def made(frames: int) -> Row:
    """One video, here and now."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model = catalog.find(catalog.DEFAULT_MODEL)
    pipeline = load_pipeline(model.checkpoint, device="cpu")
    refine = RefineOptions(REFINE_STEPS, model.default_refine_strength, bands=model.refine_bands)
    scale = model.default_guidance_scale
    list(Recipe(pipeline, model, VideoRequest(PROMPT, 24, 0, STEPS, scale, scale, refine=refine)).generate())  # warm
    recipe = Recipe(pipeline, model, VideoRequest(PROMPT, frames, 0, STEPS, scale, scale, refine=refine))
    seconds, streamed, first, held = {True: 0.0, False: 0.0}, 0, 0, [resident_mb()]
    loaded, last = held[0], time.perf_counter()
    for unit, result in recipe.generate():
        now = time.perf_counter()
        seconds[unit.stage.is_chunk] += now - last
        if unit.stage.is_chunk:
            streamed += len(result.frames)
        elif len(result.frames) and not first:
            first = streamed
        held.append(resident_mb())
        last = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(frames, seconds[True], seconds[False], loaded, peak, tuple(held), first)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MEGABYTE


def apart(frames: int) -> Row:
    """The same in a process of its own, whose memory nothing else has touched."""
    told = subprocess.run(
        [sys.executable, "-m", "bench.length", "--one", str(frames)], stdout=subprocess.PIPE, check=True, text=True
    )
    row = json.loads(told.stdout.splitlines()[-1])
    return Row(**row | {"over_time_mb": tuple(row["over_time_mb"])})


def table(rows: list[Row]) -> Table:
    shown = Table(title="One video, by its length")
    for name in ("frames", "a frame", "of the first", "loaded", "most memory", "of the first", "streamed first"):
        shown.add_column(name, justify="right")
    for row in rows:
        cost = (f"{row.a_frame_ms:.1f} ms", f"{row.a_frame_ms / rows[0].a_frame_ms:.3f}")
        memory = (f"{row.loaded_mb:.0f} MB", f"{row.peak_mb:.0f} MB", f"{row.peak_mb / rows[0].peak_mb:.3f}")
        shown.add_row(str(row.frames), *cost, *memory, str(row.streamed_first))
    return shown


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--frames", nargs="+", type=int, default=[120, 240, 1200], help="lengths, the first to compare with"
    )
    parser.add_argument("--one", type=int, metavar="FRAMES", help="one length in this process, as a line of JSON")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--picture", type=Path, help="draw the memory of the last one there")
    asked = parser.parse_args(words)
    if asked.one:
        print(json.dumps(asdict(made(asked.one))))
        return
    rows, progress = list[Row](), Console(stderr=True)
    for frames in asked.frames:
        progress.print(f"{frames} frames …", style="dim")
        rows.append(apart(frames))
    Console(width=110).print(table(rows))
    if asked.picture:
        longest = rows[-1]
        title = f"Memory of the process in MB, over the {len(longest.over_time_mb)} units of {longest.frames} frames"
        plot(np.array(longest.over_time_mb), title).save(asked.picture)
    if asked.json:
        report = {
            "command": shlex.join(["python", "-m", "bench.length", *words]),
            "date": time.strftime("%Y-%m-%d"),
            "rows": [asdict(row) | {"a_frame_ms": row.a_frame_ms} for row in rows],
        }
        asked.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
