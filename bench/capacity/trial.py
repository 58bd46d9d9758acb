"""The simulation held to a real service: the same orders at the same times, there and here.

A real API and job store, real workers with the bundled model (or asleep, as one waits for a GPU, so that two cores can
stand in for many), videos of several lengths, some refined, of two tenants, at random times. The simulation knows of it
when each order came, and what a unit of each stage took while all workers were busy before the trial.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.capacity.fleet import Order, Outcome, Pace, p95, simulate, work
from bench.load.premises import Bench, opened
from models import catalog, units
from models.units import Stage
from service.jobs import Job
from tests.support.house import PROMPT, until

MODEL = catalog.find("tiny-shapes")
STEPS, REFINE_STEPS = 4, 4
#: (frames, whether refined), each as often as the others.
KINDS = ((16, False), (24, True), (48, False), (48, True), (96, True), (144, False))
TENANTS = ("one", "other")
BUNDLED = {"LONGTAKE_CHECKPOINTS": "{}"}  # and not the random weights of tests
ASLEEP = {"LONGTAKE_BENCH_CHUNK_S": "1.14", "LONGTAKE_BENCH_LOOK_S": ".417"}  # a tenth of what is published for an A100


@dataclass(frozen=True)
class Row:
    what: str
    measured: float
    simulated: float

    @property
    def ratio(self) -> float:
        return self.simulated / self.measured


@dataclass(frozen=True)
class Trial:
    """pace: of the units before the trial, which is what was simulated with; pace_meanwhile: of those in it."""

    minutes: float
    workers: int
    videos: int
    pace: Pace
    pace_meanwhile: Pace
    between_s: float
    rows: tuple[Row, ...]


def held(minutes: float, workers: int, load: float, seed: int, *, asleep: bool = False) -> Trial:
    """A trial of so long, with orders for so many workers to be busy for a share `load` of it."""
    module = ("bench.load.sleeping",) if asleep else ("workers", "render")
    with opened(LONGTAKE_PRELOAD=MODEL.name, **BUNDLED, **ASLEEP) as bench:
        names = [f"render-{number}" for number in range(workers)]
        for name in names:
            bench.house.run(name, *module)
        until(lambda: all(bench.house.beat(name) == "ready" for name in names), "the workers")
        keys = {name: bench.key(name) for name in TENANTS}
        before = _ended(bench, [_order(bench, keys["one"], kind) for kind in KINDS * workers])
        pace = _pace(bench, before)
        between_s = _between_s(before, workers, pace)
        mean_s = statistics.fmean(sum(_simulated(job, pace).work.seconds) for job in before)
        made = _ended(bench, _come(bench, keys, 60 * minutes, load * workers / mean_s, random.Random(seed)))
        outcome = simulate([_simulated(job, pace) for job in made], workers, between_s)
        busy_s = sum(done.seconds for job in made for done in bench.store.committed(job.id))
        rows = tuple(_rows(made, busy_s, workers, outcome))
        return Trial(minutes, workers, len(made), pace, _pace(bench, made), between_s, rows)


def _come(bench: Bench, keys: dict[str, str], seconds: float, rate: float, rng: random.Random) -> list[str]:
    """Orders, `rate` a second at random, until the seconds are over."""
    ids, due = list[str](), 0.0
    began = time.monotonic()
    while (due := due + rng.expovariate(rate)) < seconds:
        time.sleep(max(0.0, began + due - time.monotonic()))
        ids.append(_order(bench, keys[rng.choice(TENANTS)], rng.choice(KINDS)))
    return ids


def _order(bench: Bench, key: str, kind: tuple[int, bool]) -> str:
    frames, refined = kind
    body: dict[str, Any] = {"model": MODEL.name, "prompt": PROMPT, "num_frames": frames, "steps": STEPS}
    body["refine"] = {"steps": REFINE_STEPS} if refined else False
    headers = {"Authorization": f"Bearer {key}"}
    answer = bench.house.http.post("/v1/videos", json=body, headers=headers).raise_for_status()
    return str(answer.json()["id"])


def _ended(bench: Bench, ids: Sequence[str]) -> list[Job]:
    """The jobs, when all have ended."""
    jobs = [bench.job(video) for video in ids]
    while not all(job.state.is_terminal for job in jobs):
        time.sleep(1)
        jobs = [job if job.state.is_terminal else bench.job(job.id) for job in jobs]
    if lost := [f"{job.id} {job.state}" for job in jobs if job.state != "completed"]:
        raise RuntimeError(f"not completed: {', '.join(lost)}")
    return jobs


def _pace(bench: Bench, jobs: Sequence[Job]) -> Pace:
    """Mean seconds a unit by stage; of refinement a look at a window."""
    seconds, loads = defaultdict[Stage, float](float), defaultdict[Stage, int](int)
    for job in jobs:
        tiling = units.tiling(MODEL, job.generation.num_frames, REFINE_STEPS, MODEL.refine_bands)
        for done in bench.store.committed(job.id):
            unit = job.plan[done.position]
            seconds[unit.stage] += done.seconds
            loads[unit.stage] += tiling.looks(tiling.tiles[unit.index]) if unit.stage is Stage.REFINE else 1
    return {stage: seconds[stage] / loads[stage] for stage in seconds}


def _between_s(jobs: Sequence[Job], workers: int, pace: Pace) -> float:
    """What a worker needs from unit to unit: what these videos took longer than units alone would have."""
    simulated = simulate([_simulated(job, pace) for job in jobs], workers)
    return max(0.0, (_span_s(jobs) - simulated.span_s) * workers / sum(len(job.plan) for job in jobs))


def _simulated(job: Job, pace: Pace) -> Order:
    made = job.generation
    return Order(job.created_at, work(MODEL, made.num_frames, made.refine and made.refine.steps, pace), job.tenant)


def _span_s(jobs: Sequence[Job]) -> float:
    return max(job.completed_at or 0.0 for job in jobs) - min(job.created_at for job in jobs)


def _rows(jobs: Sequence[Job], busy_s: float, workers: int, outcome: Outcome) -> Iterator[Row]:
    first_s = [(job.first_frame_at or 0.0) - job.created_at for job in jobs]
    whole_s = [(job.completed_at or 0.0) - job.created_at for job in jobs]
    for what, measured, simulated in (
        ("seconds to the first frames", first_s, outcome.first_s),
        ("seconds to the end", whole_s, outcome.whole_s),
    ):
        yield Row(f"{what}, mean", statistics.fmean(measured), statistics.fmean(simulated))
        yield Row(f"{what}, p95", p95(measured), p95(simulated))
    yield Row("how busy the workers were", busy_s / _span_s(jobs) / workers, outcome.busy_s / outcome.span_s / workers)
