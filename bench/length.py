"""What a frame costs in a longer video: `python -m bench.length [--frames 120 240 1200] [--picture FILE]`.

The bundled model without the service, streamed and refined in the order of the plan, each length in a process of its
own: processor seconds a frame, the most memory that the process has held, and how much was streamed when the first
refined frames came. The first two are to be the same however long the video is, but for the ends: a chunk and a window
look at frames of the one before, and the first has none before it, so a short video has less to do a frame. How much
less is counted, too. Few denoising steps a chunk, as their number changes neither. Shorter videos are made more often,
and what is told of them is the median: what else the machine does falls on a short one whole.
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
import psutil
import torch
from rich.console import Console
from rich.table import Table

from models import catalog
from models.evaluation.plot import plot
from models.loading import load_pipeline
from models.model import Model
from models.recipe import Recipe
from models.request import RefineOptions, VideoRequest
from models.units import count_chunks, windows

STEPS, REFINE_STEPS, ROUNDS = 2, 8, 5
PROMPT = "a red circle moving right on a black background"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Row:
    """streamed_first: frames of the preview that were there when the first refined ones came.

    looked_at: frames that chunks and windows look at, all together.
    """

    frames: int
    looked_at: int
    streaming_s: float
    refinement_s: float
    loaded_mb: float  # of memory, before the first unit
    peak_mb: float
    over_time_mb: tuple[float, ...]  # after each unit
    streamed_first: int

    @property
    def a_frame_ms(self) -> float:
        return 1000 * (self.streaming_s + self.refinement_s) / self.frames

    @property
    def looked_at_a_frame(self) -> float:
        return self.looked_at / self.frames


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
    loaded, last = held[0], time.process_time()
    for unit, result in recipe.generate():
        now = time.process_time()
        seconds[unit.stage.is_chunk] += now - last
        if unit.stage.is_chunk:
            streamed += len(result.frames)
        elif len(result.frames) and not first:
            first = streamed
        held.append(resident_mb())
        last = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(frames, looked_at(model, frames), seconds[True], seconds[False], loaded, peak, tuple(held), first)


def looked_at(model: Model, frames: int) -> int:
    """Frames of a chunk or window, times their number, of a video of that length."""
    seen = windows(frames, model.window_frames, model.window_overlap)
    return count_chunks(model, frames) * model.chunk_frames + sum(stop - start for start, stop in seen)


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / MEGABYTE


def apart(frames: int) -> Row:
    """The same in a process of its own, whose memory nothing else has touched."""
    told = subprocess.run(
        [sys.executable, "-m", "bench.length", "--one", str(frames)], stdout=subprocess.PIPE, check=True, text=True
    )
    row = json.loads(told.stdout.splitlines()[-1])
    return Row(**row | {"over_time_mb": tuple(row["over_time_mb"])})


def table(rows: list[Row]) -> Table:
    shown = Table(title="One video, by its length")
    told = ("frames", "a frame", "of the first", "by looks", "loaded", "most memory", "of the first", "streamed first")
    for name in told:
        shown.add_column(name, justify="right")
    for row in rows:
        by_looks = row.looked_at_a_frame / rows[0].looked_at_a_frame
        cost = (f"{row.a_frame_ms:.1f} ms", f"{row.a_frame_ms / rows[0].a_frame_ms:.3f}", f"{by_looks:.3f}")
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
    made_of, progress = {frames: list[Row]() for frames in asked.frames}, Console(stderr=True)
    for turn in range(ROUNDS):
        for frames in asked.frames:
            if turn == ROUNDS // 2 or frames * ROUNDS <= max(asked.frames):
                progress.print(f"{frames} frames …", style="dim")
                made_of[frames].append(apart(frames))
    rows = [sorted(found, key=lambda row: row.a_frame_ms)[len(found) // 2] for found in made_of.values()]
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
