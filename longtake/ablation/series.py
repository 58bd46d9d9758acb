"""Many videos of one table, in one process or several, of one thread each; stopped and gone on with at will.

Owns the file in which every video's figures are kept, a line each; a line that is there is not made again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev

import torch

from longtake.supervisor import die_with_parent
from models.evaluation.gauge import Figures

Rows = dict[str, Figures]  # of one video, by variant
Compare = Callable[[int, Sequence[str]], Rows]  # the number of a video and what of it is missing


def collect(
    file: Path,
    weights: str,
    videos: int,
    variants: Sequence[str],
    compare: Compare,
    processes: int,
    on_done: Callable[[], None],
) -> list[Rows]:
    """The rows of the first `videos` captions: from the file, as far as they are there, and made where they are not.

    weights: the fingerprint of what makes them; rows of other weights are left alone.
    """
    kept = load(file, weights)
    missing = {
        number: absent
        for number in range(videos)
        if (absent := [variant for variant in variants if variant not in kept[number]])
    }
    for _ in range(videos - len(missing)):
        on_done()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        for number, rows in made(missing, compare, processes):
            kept[number] |= rows
            lines.write(json.dumps({"video": number, "weights": weights, "rows": rows}) + "\n")
            lines.flush()
            on_done()
    return [{variant: kept[number][variant] for variant in variants} for number in range(videos)]


def load(file: Path, weights: str) -> defaultdict[int, Rows]:
    """The rows that a file holds of these weights, by the number of the video; none for one that it does not hold."""
    kept: defaultdict[int, Rows] = defaultdict(dict)
    for line in map(json.loads, file.read_text().splitlines() if file.is_file() else ()):
        if line["weights"] == weights:
            kept[line["video"]] |= line["rows"]
    return kept


def made(missing: Mapping[int, Sequence[str]], compare: Compare, processes: int) -> Iterator[tuple[int, Rows]]:
    if processes == 1:
        torch.set_num_threads(1)  # the rows are the same by any number of processes
        yield from ((number, compare(number, absent)) for number, absent in missing.items())
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _join) as pool:
        yield from zip(missing, pool.map(compare, missing, missing.values()), strict=True)


def _join() -> None:
    """Of the pool, for as long as there is one."""
    die_with_parent()
    torch.set_num_threads(1)


def means(all_rows: Sequence[Rows]) -> dict[str, dict[str, tuple[float, float] | None]]:
    """Mean and standard error of every figure of every variant, over the videos that have it."""

    def spread(values: list[float]) -> tuple[float, float] | None:
        if not values:
            return None
        return fmean(values), stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0

    return {
        variant: {
            figure: spread([value for rows in all_rows if (value := rows[variant][figure]) is not None])
            for figure in figures
        }
        for variant, figures in all_rows[0].items()
    }
