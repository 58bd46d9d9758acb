"""What it saves to make the chunks of several videos in one batch: `python -m bench.company [--videos 1 2 4]`.

The bundled model without the service, one core: so many videos one after the other, and the same ones at once, in turn;
the processor seconds of both, how many were asked for together, and how far the frames are from each other.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models import catalog
from models.company import Company
from models.loading import load_pipeline
from models.recipe import Recipe
from models.request import VideoRequest
from models.streaming_t2v.pipeline import StreamingPipeline

FRAMES = 32
PROMPTS = (
    "a red circle moving right on a black background",
    "a green star moving up on a grey background",
    "a blue square moving left on a navy background",
    "a yellow triangle moving down on a brown background",
)


@dataclass(frozen=True)
class Row:
    videos: int
    alone_s: float
    together_s: float
    together: float  # videos a forward, on average
    largest_difference: int  # of 255

    @property
    def times(self) -> float:
        return self.alone_s / self.together_s


def measured(pipeline: StreamingPipeline, videos: int, steps: int, rounds: int) -> Row:
    """Medians of the rounds."""
    alone_s, together_s, sizes, difference = list[float](), list[float](), Company().sizes, 0
    for _ in range(rounds):
        pipeline.company = Company()
        alone, seconds = _timed(pipeline, videos, steps, at_once=1)
        alone_s.append(seconds)
        pipeline.company = Company(videos)
        together, seconds = _timed(pipeline, videos, steps, at_once=videos)
        together_s.append(seconds)
        sizes += pipeline.company.sizes
        difference = max(difference, *(int(np.abs(a - b).max()) for a, b in zip(alone, together, strict=True)))
    share = sum(size * count for size, count in sizes.items()) / max(1, sizes.total())
    return Row(videos, statistics.median(alone_s), statistics.median(together_s), share or 1.0, difference)


def _timed(pipeline: StreamingPipeline, videos: int, steps: int, at_once: int) -> tuple[list[np.ndarray], float]:
    """The videos, and the processor seconds that they took."""
    began = time.process_time()
    with ThreadPoolExecutor(at_once) as pool:
        made = list(pool.map(lambda number: _video(pipeline, number, steps), range(videos)))
    return made, time.process_time() - began


def _video(pipeline: StreamingPipeline, number: int, steps: int) -> np.ndarray:
    model = catalog.find(catalog.DEFAULT_MODEL)
    scale = model.default_guidance_scale
    request = VideoRequest(PROMPTS[number % len(PROMPTS)], FRAMES, number, steps, scale, scale)
    return np.concatenate([made.frames for _, made in Recipe(pipeline, model, request).generate()]).astype(int)


def table(rows: Sequence[Row], steps: int) -> Table:
    shown = Table(title=f"Videos of {FRAMES} frames in {steps} steps a chunk, processor seconds")
    for name in ("videos", "one after the other", "at once", "times as fast", "a forward", "largest difference"):
        shown.add_column(name, justify="right")
    for row in rows:
        cost = (f"{row.alone_s:.1f} s", f"{row.together_s:.1f} s", f"{row.times:.2f}")
        shown.add_row(str(row.videos), *cost, f"{row.together:.1f}", f"{row.largest_difference} of 255")
    return shown


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", nargs="+", type=int, default=[1, 2, 4], help="how many at once")
    parser.add_argument("--steps", type=int, default=8, help="of a chunk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    pipeline, progress = load_pipeline(catalog.DEFAULT_MODEL, device="cpu"), Console(stderr=True)
    _timed(pipeline, 1, 1, at_once=1)  # warm
    rows = list[Row]()
    for videos in asked.videos:
        progress.print(f"{videos} at once …", style="dim")
        rows.append(measured(pipeline, videos, asked.steps, asked.rounds))
    Console(width=110).print(table(rows, asked.steps))
    if asked.json:
        told = {"command": shlex.join(["python", "-m", "bench.company", *words]), "date": time.strftime("%Y-%m-%d")}
        asked.json.write_text(json.dumps(told | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
