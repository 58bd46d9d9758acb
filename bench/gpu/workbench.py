"""What is measured: a video of 24 frames, unit by unit as a worker does them, by the published networks or tiny ones.

The published networks have random numbers: nothing is read from disk, and what is drawn is noise, but every layer
computes what it would.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from bench.roofline import Rates, Work
from longtake.training.vocabulary import make_tokenizer
from models.catalog import STREAMING_T2V, TINY_SHAPES
from models.loading import load_pipeline
from models.memory import precision, published, shadow, stages
from models.memory.budget import GIB, Budget
from models.memory.placement import place
from models.memory.presets import Preset
from models.memory.shadow import Parts
from models.model import Model, Size
from models.recipe import Recipe
from models.refinement.schedule import LogSNRCosineSchedule
from models.request import RefineOptions, VideoRequest
from models.streaming_t2v.pipeline import StreamingPipeline
from models.units import Stage
from tests.support import checkpoint

SIZES = ("720x720", "1280x720")  # refined
FRAMES, PROMPT = 24, "a red circle moving right on a black background"
STEPS, LOOKS = 6, 4  # that are timed of a unit with nothing left out
BRANCHES = 2  # of guidance, whose two scales are the same
#: Stages of the video -> those of the arithmetic that they consist of, of the preview and of the refined size.
PARTS = {
    Stage.INITIALIZE: ("prompt", "first chunk", "decode", "anchor"),
    Stage.STREAM: ("streaming step", "anchor", "decode"),
    Stage.REFINE: ("encode", "refining step", "decode"),
}
STEP = {Stage.INITIALIZE: "first chunk", Stage.STREAM: "streaming step", Stage.REFINE: "refining step"}


@dataclass(frozen=True)
class Row:
    """One stage under one preset. seconds: of a whole chunk or window, `steps` steps at `step_s` each, and the rest.
    tflop: of a step; floor_s: what it would take at the rates that were measured. turbo_s: `seconds` with the model's
    turbo.
    """

    preset: str
    stage: str
    size: str
    peak_gib: float | None
    arithmetic_gib: float
    step_s: float
    steps: int
    seconds: float
    tflop: float
    floor_s: float
    matrix_share: float  # of the measured rate of products
    turbo_s: float | None


class Workbench(ABC):
    """Pipelines under each preset, and what is counted of them without numbers."""

    def __init__(self, device: torch.device, models: list[Model], parts: Parts):
        self.device, self.numbers, self.models, self.parts = device, precision.choose(device), models, parts
        self.budget = Budget(parts, [stages.Work(model.size, model.refined_size) for model in models])
        self.rates = Rates.of(device, self.numbers.of("unet"))

    def rows(self, preset: Preset) -> Iterator[Row]:
        needed = self.budget.peak(preset).total
        if self.device.type == "cuda" and not self.budget.fits(preset, total_bytes(self.device)):
            print(f"'{preset.name}' needs {needed / GIB:.1f} GiB and is left out.", flush=True)
            return
        pipeline = self.pipeline(preset)
        for model in self.models:
            print(f"{preset.name}, {model.refined_size} ...", file=sys.stderr, flush=True)
            yield from self._measured(pipeline, model, preset)
        del pipeline
        gc.collect()
        torch.cuda.empty_cache()

    @abstractmethod
    def pipeline(self, preset: Preset) -> StreamingPipeline:
        """The networks where the preset wants them."""

    def _measured(self, pipeline: StreamingPipeline, model: Model, preset: Preset) -> Iterator[Row]:
        """The stages of one video; a first one warms up, and lets diffusers note in which order layers are fetched."""
        scale = model.default_guidance_scale
        request = VideoRequest(
            PROMPT, FRAMES, 0, STEPS, scale, scale, refine=RefineOptions(LOOKS, model.default_refine_strength)
        )
        for _ in range(2):
            units = run(Recipe(pipeline, model, request))
        fast = {} if preset.grouped or model.turbo is None else self._turbo(pipeline, model, request)
        works = self.works(model, preset)
        for stage, parts in PARTS.items():
            own = [unit for unit in units if unit.stage is stage]
            step_s = statistics.median(step for unit in own for step in unit.steps)
            wanted = model.default_refine_steps if stage is Stage.REFINE else model.default_steps
            timed = LOOKS if stage is Stage.REFINE else STEPS
            size = model.refined_size if stage is Stage.REFINE else model.size
            needs = [n.total for n in self.budget.needs(preset) if n.stage in parts and n.size in (size, None)]
            work = works[STEP[stage]]
            yield Row(
                preset=preset.name,
                stage=stage.value,
                size=str(size),
                peak_gib=max(unit.peak for unit in own) / GIB if self.device.type == "cuda" else None,
                arithmetic_gib=max(needs) / GIB,
                step_s=step_s,
                steps=wanted,
                seconds=sum(unit.seconds for unit in own) + (wanted - timed) * step_s,
                tflop=work.flops / 1e12,
                floor_s=work.floor_s(self.rates),
                matrix_share=work.flops / step_s / self.rates.flops,
                turbo_s=fast.get(stage),
            )

    def works(self, model: Model, preset: Preset) -> dict[str, Work]:
        """What one step of each stage is."""
        size = stages.Work(model.size, model.refined_size)
        loads = {load.stage: load for load in stages.loads(self.parts, size, preset, branches=BRANCHES)}
        return {name: Work.of(loads[name].run) for name in STEP.values()}

    @staticmethod
    def _turbo(pipeline: StreamingPipeline, model: Model, request: VideoRequest) -> Mapping[Stage, float]:
        """Seconds of each stage with what the model's preset leaves out, every step of it made."""
        assert model.turbo is not None
        refine = RefineOptions(model.turbo.refine_steps, model.default_refine_strength)
        fast = replace(request, steps=model.turbo.steps, turbo=model.turbo.options, refine=refine)
        seconds = dict.fromkeys(PARTS, 0.0)
        for unit in run(Recipe(pipeline, model, fast)):
            seconds[unit.stage] += unit.seconds
        return seconds


class Published(Workbench):
    """The published sizes, on a GPU."""

    def __init__(self, device: torch.device):
        with torch.device("meta"):
            networks = {name: make() for name, make in published.NETWORKS.items()}
        parts = shadow.in_precision(networks, precision.choose(device))
        super().__init__(device, [STREAMING_T2V.at(size) for size in SIZES], parts)

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


class Tiny(Workbench):
    """The sizes of the bundled model with few channels, on a CPU: to see that the script runs."""

    def __init__(self, folder: Path):
        self.folder = folder / "tiny"
        checkpoint.make(self.folder)
        cpu = torch.device("cpu")
        parts = shadow.shadows(load_pipeline(self.folder, "cpu").components, precision.choose(cpu))
        super().__init__(cpu, [replace(TINY_SHAPES, size=Size(32, 32), refined_size=Size(64, 64))], parts)

    def pipeline(self, preset: Preset) -> StreamingPipeline:
        return load_pipeline(self.folder, "cpu", memory=preset.name)


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


def total_bytes(device: torch.device) -> int:
    total: int = torch.cuda.get_device_properties(device).total_memory
    return total
