"""What grows and what complains: judged from the samples, the logs and what is left in the end.

A slope is Theil's and Sen's: the median of the slopes between all pairs of one process, so that neither a peak nor a
new process bends it. Only samples of the second half count, taken in peace, of processes past their beginning.
"""

from __future__ import annotations

import calendar
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from tests.soak.gauges import Sample

HOUR_S = 3600.0
YOUNG_S = 60.0  # a process loads and warms up for so long
APART_S = 30.0  # pairs nearer to each other say more of the noise than of the slope
JUDGED_FROM_S = 300.0  # a second half that is shorter says nothing

#: What may grow by how much an hour, where every hour brings 900 videos. Three times what chance makes of a quarter of
#: an hour, in which some videos more or less live at once; `tests.soak.remains` counts exactly, in the end.
BOUNDS = {
    "rss_mb": 30.0,
    "fds": 15.0,
    "threads": 15.0,
    "keys": 200.0,
    "memory_mb": 3.0,
    "clients": 40.0,
    "objects": 200.0,
}


@dataclass(frozen=True)
class Slope:
    role: str
    what: str
    middle: float  # the median value
    an_hour: float | None  # None: too few samples
    bound: float

    @property
    def is_flat(self) -> bool:
        return self.an_hour is None or self.an_hour <= self.bound


def slopes(samples: Sequence[Sample]) -> list[Slope]:
    """Of every role and measure, of the second half."""
    end = max((sample.at_s for sample in samples), default=0.0)
    born = dict[str, float]()
    for sample in samples:
        born.setdefault(sample.who, sample.at_s)
    judged = dict[tuple[str, str], list[Sample]]()
    for sample in samples:
        kept = judged.setdefault((sample.role, sample.what), [])
        is_young = sample.role in ("api", "worker", "courier") and sample.at_s - born[sample.who] < YOUNG_S
        if sample.quiet and sample.at_s >= end / 2 and not is_young:
            kept.append(sample)
    return [
        Slope(role, what, _middle(kept), theil_sen(kept), BOUNDS[what]) for (role, what), kept in sorted(judged.items())
    ]


def theil_sen(samples: Sequence[Sample]) -> float | None:
    """By the hour, over pairs of one process."""
    found = [
        (b.value - a.value) / (b.at_s - a.at_s)
        for a, b in combinations(samples, 2)
        if a.who == b.who and b.at_s - a.at_s >= APART_S
    ]
    return HOUR_S * statistics.median(found) if found else None


def is_judged(samples: Sequence[Sample]) -> bool:
    """Whether it went on for long enough."""
    return bool(samples) and samples[-1].at_s / 2 >= JUDGED_FROM_S


def complaints(files: Iterable[Path], is_harmed: Callable[[float], bool]) -> list[str]:
    """Log lines of errors, and traces of what nobody caught, outside the time of faults."""
    return [f"{file.name}: {line[:300]}" for file in sorted(files) for at, line in _errors(file) if not is_harmed(at)]


def _errors(file: Path) -> Iterator[tuple[float, str]]:
    """A line that is none of ours has the time of the one before it."""
    at = 0.0
    for line in file.read_text(errors="replace").splitlines():
        told = _decoded(line)
        if told is None:
            if line.startswith("Traceback") or "ERROR" in line or "CRITICAL" in line:
                yield at, line
            continue
        at = calendar.timegm(time.strptime(told["time"][:19], "%Y-%m-%dT%H:%M:%S")) + float(told["time"][19:-1])
        if told["level"] in ("error", "critical"):
            yield at, line


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and "level" in told else None


def _middle(samples: Sequence[Sample]) -> float:
    return statistics.median(sample.value for sample in samples) if samples else float("nan")
