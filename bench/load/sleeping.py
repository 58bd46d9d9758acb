"""A render worker whose units take as long as they are told to: it sleeps, as one waits for a GPU.

Run as `python -m bench.load.sleeping` with LONGTAKE_BENCH_CHUNK_S and LONGTAKE_BENCH_LOOK_S, the seconds of a chunk and
of a look at a window of refinement. Everything else is the real thing: claims, leases, states, encoding, storage.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from celery import signals

from models import units
from models.recipe import UnitResult
from models.units import Stage, Unit
from service.jobs import Generation, Job
from workers import app, renderer
from workers.settings import WorkerSettings

STATE = bytes(64 << 10)  # as large as one of the bundled model's


class Sleep:
    """The recipe of a video: frames of one colour, after the time that they would take."""

    is_shared = True

    def __init__(self, made: Generation):
        self._made, self._model = made, made.recipe()

    def run(self, unit: Unit, states: Mapping[str, bytes], on_step: Callable[[int, int], None]) -> UnitResult:
        steps = self.looks(unit)
        a_step_s = float(os.environ[f"LONGTAKE_BENCH_{'LOOK' if unit.stage is Stage.REFINE else 'CHUNK'}_S"])
        for step in range(steps):
            time.sleep(a_step_s)
            on_step(step + 1, steps)
        size = self._model.refined_size if unit.stage is Stage.REFINE else self._model.size
        return UnitResult(np.full((unit.num_frames, size.height, size.width, 3), 128, np.uint8), STATE)

    def looks(self, unit: Unit) -> int:
        """How often a unit sleeps: once a chunk, once a window."""
        made = self._made
        if unit.stage is not Stage.REFINE or made.refine is None:
            return 1
        tiling = units.tiling(self._model, made.num_frames, made.refine.steps, made.refine.bands)
        return tiling.looks(tiling.tiles[unit.index])


def fall_asleep(**_: Any) -> None:
    def recipe(job: Job) -> Any:
        return Sleep(job.generation)

    renderer.opened[0].recipe = recipe  # type: ignore[method-assign]


signals.worker_process_init.connect(fall_asleep)  # after the renderer's own, which opens the shop

if __name__ == "__main__":
    app.run("render", WorkerSettings(), extra_modules=["bench.load.sleeping"])
