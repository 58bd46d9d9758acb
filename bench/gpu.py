"""What every preset takes on this GPU: `python -m bench.gpu [--json FILE]`. Memory, seconds a chunk and a window.

The published networks with random numbers: nothing is read from disk, and what is drawn is noise, but every layer
computes what it would. A video of 24 frames by each preset: the first chunk, one streaming chunk, one refinement
window. A few denoising steps are timed and their median is multiplied up to the published number.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import diffusers
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from longtake.training.vocabulary import make_tokenizer
from models.catalog import STREAMING_T2V, TINY_SHAPES
from models.loading import load_pipeline
from models.memory import precision, presets, published, shadow
from models.memory.budget import GIB, Budget
from models.memory.placement import place
from models.memory.presets import Preset
from models.memory.stages import Work
from models.model import Model, Size
from models.recipe import Recipe
from models.refinement.schedule import LogSNRCosineSchedule
from models.request import RefineOptions, VideoRequest
from models.streaming_t2v.pipeline import StreamingPipeline
from models.units import Stage
from tests.support import checkpoint

SIZES = ("720x720", "1280x720")  # refined
FRAMES, PROMPT = 24, "a red circle moving right on a black background"
STEPS, LOOKS = 6, 4  # that are timed
#: Stages of the video -> those of the arithmetic that they consist of, of the preview and of the refined size.
PARTS = {
    Stage.INITIALIZE: ("prompt", "first chunk", "decode", "anchor"),
    Stage.STREAM: ("streaming step", "anchor", "decode"),
    Stage.REFINE: ("encode", "refining step", "decode"),
}


@dataclass(frozen=True)
class Row:
    """One stage under one preset. seconds: of a whole chunk or window, `steps` steps at `step_s` each, and the rest."""

    preset: str
    stage: str
    size: str
    peak_gib: float | None
    arithmetic_gib: float
    step_s: float
    steps: int
    seconds: float


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    if not options.cpu and not torch.cuda.is_available():
        sys.exit("bench.gpu needs a GPU, and torch sees none here; --cpu runs the same at a tiny size, without one.")
    if importlib.util.find_spec("accelerate") is None:
        sys.exit("bench.gpu needs accelerate, with which diffusers fetches layers.")
    device = torch.device("cpu" if options.cpu else "cuda")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workbench = Tiny(Path(folder)) if options.cpu else Published(device)
        rows = [row for name in options.presets for row in workbench.rows(presets.find(name))]
    card = "CPU" if options.cpu else f"{torch.cuda.get_device_name()}, {_total(device) / GIB:.1f} GiB"
    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    numbers = precision.choose(device)
    print(f"{card}; {numbers}; torch {versions['torch']}; {time.monotonic() - began:.0f} s in all")
    print(f"seconds: {STEPS} steps and {LOOKS} looks timed, multiplied up to those in the column 'steps'")
    print(table(rows))
    report = {"device": card, "numbers": str(numbers), **versions, "rows": [asdict(row) for row in rows]}
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    else:
        print(json.dumps(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="the same path at a tiny size, without a GPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, instead of being printed")
    names = [*reversed(presets.PRESETS)]
    parser.add_argument("--presets", nargs="+", choices=names, default=names, help="all by default")
    return parser


class Published:
    """The published sizes, on a GPU."""

    def __init__(self, device: torch.device):
        self.device, self.numbers = device, precision.choose(device)
        self.models = [STREAMING_T2V.at(size) for size in SIZES]
        with torch.device("meta"):
            networks = {name: make() for name, make in published.NETWORKS.items()}
        self.budget = Budget(shadow.in_precision(networks, self.numbers), [_work(model) for model in self.models])

    def rows(self, preset: Preset) -> Iterator[Row]:
        if not self.budget.fits(preset, _total(self.device)):
            print(f"'{preset.name}' needs {self.budget.peak(preset).total / GIB:.1f} GiB and is left out.", flush=True)
            return
        pipeline = self.pipeline(preset)
        for model in self.models:
            print(f"{preset.name}, {model.refined_size} ...", file=sys.stderr, flush=True)
            yield from measured(pipeline, model, preset, self.budget)
        del pipeline
        gc.collect()
        torch.cuda.empty_cache()

    def pipeline(self, preset: Preset) -> StreamingPipeline:
        """Network by network, so that what does not stay is away before the next is made."""
        torch.manual_seed(0)
        networks = {}
        for name, make in published.NETWORKS.items():
            with torch.device(self.device):
                made = shadow.in_precision({name: make().requires_grad_(False)}, self.numbers)[name]
            networks[name] = made.cpu() if name in preset.grouped else made
        schedule = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
        pipeline = StreamingPipeline(
            tokenizer=make_tokenizer(), scheduler=schedule, refiner_schedule=LogSNRCosineSchedule(), **networks
        )
        place(pipeline, preset, self.device)
        torch.cuda.empty_cache()
        return pipeline


class Tiny:
    """The sizes of the bundled model with few channels, on a CPU: to see that the script runs."""

    def __init__(self, folder: Path):
        self.folder = folder / "tiny"
        checkpoint.make(self.folder)
        self.model = replace(TINY_SHAPES, size=Size(32, 32), refined_size=Size(64, 64))
        parts = shadow.shadows(load_pipeline(self.folder, "cpu").components, precision.choose(torch.device("cpu")))
        self.budget = Budget(parts, [_work(self.model)])

    def rows(self, preset: Preset) -> Iterator[Row]:
        yield from measured(load_pipeline(self.folder, "cpu", memory=preset.name), self.model, preset, self.budget)


def measured(pipeline: StreamingPipeline, model: Model, preset: Preset, budget: Budget) -> Iterator[Row]:
    """The stages of one video; a first one warms up, and lets diffusers note in which order layers are fetched."""
    refine = RefineOptions(LOOKS, model.default_refine_strength)
    scale = model.default_guidance_scale
    request = VideoRequest(PROMPT, FRAMES, 0, STEPS, scale, scale, refine=refine)
    for _ in range(2):
        units = run(Recipe(pipeline, model, request))
    for stage, parts in PARTS.items():
        own = [unit for unit in units if unit.stage is stage]
        step_s = statistics.median(step for unit in own for step in unit.steps)
        wanted = model.default_refine_steps if stage is Stage.REFINE else model.default_steps
        timed = LOOKS if stage is Stage.REFINE else STEPS
        size = model.refined_size if stage is Stage.REFINE else model.size
        needs = [need.total for need in budget.needs(preset) if need.stage in parts and need.size in (size, None)]
        peak = max(unit.peak for unit in own)
        yield Row(
            preset=preset.name,
            stage=stage.value,
            size=str(size),
            peak_gib=peak / GIB if pipeline.device.type == "cuda" else None,
            arithmetic_gib=max(needs) / GIB,
            step_s=step_s,
            steps=wanted,
            seconds=sum(unit.seconds for unit in own) + (wanted - timed) * step_s,
        )


@dataclass(frozen=True)
class Timed:
    stage: Stage
    seconds: float
    steps: list[float]  # of each but the first, which also waits for what was begun before it
    peak: int


def run(recipe: Recipe) -> list[Timed]:
    """Every unit of a video, as a worker does them."""
    cuda = recipe.pipeline.device.type == "cuda"
    states: dict[str, bytes] = {}
    made = []
    for unit in recipe.plan[:-1]:
        ticks: list[float] = []

        def tick(step: int, steps: int, ticks: list[float] = ticks) -> None:
            if cuda:
                torch.cuda.synchronize()
            ticks.append(time.perf_counter())

        if cuda:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        result = recipe.run(unit, states, tick)
        seconds = time.perf_counter() - began
        states[unit.key] = result.state
        # A diagonal of one window is one look, with the encoding before it or the decoding after it at the two ends.
        looked = [] if unit.index in (0, LOOKS - 1) else [seconds]
        steps = looked if unit.stage is Stage.REFINE else [b - a for a, b in zip(ticks, ticks[1:], strict=False)]
        made.append(Timed(unit.stage, seconds, steps, torch.cuda.max_memory_allocated() if cuda else 0))
    return made


def table(rows: list[Row]) -> str:
    head = (
        f"{'preset':8}{'stage':12}{'size':10}{'peak GiB':>10}{'arithmetic':>12}{'step s':>9}{'steps':>7}{'whole s':>9}"
    )
    lines = [head]
    for row in rows:
        peak = f"{row.peak_gib:.2f}" if row.peak_gib is not None else "-"
        figures = f"{peak:>10}{row.arithmetic_gib:>12.2f}{row.step_s:>9.3f}{row.steps:>7}{row.seconds:>9.2f}"
        lines.append(f"{row.preset:8}{row.stage:12}{row.size:10}{figures}")
    return "\n".join(lines)


def _work(model: Model) -> Work:
    return Work(model.size, model.refined_size)


def _total(device: torch.device) -> int:
    total: int = torch.cuda.get_device_properties(device).total_memory
    return total


if __name__ == "__main__":
    main(sys.argv[1:])
