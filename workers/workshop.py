"""What one worker process works with: the store, the objects, loaded models, and what it remembers.

Everything remembered is a short cut: another worker reads the same from object storage and makes the same
frames. Knows where things are, not what is done with them.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from models import families, pictures
from models.company import Company
from models.compiling import compile_blocks, warm_up
from models.first_chunk.source import Source
from models.loading import load_model
from models.memory.presets import LARGE
from models.memory.stages import Work
from models.model import CheckpointError, Model
from models.recipe import Recipe
from models.request import RefineOptions, VideoRequest
from models.streamers.family import FamilyPipeline
from models.streaming_t2v.pipeline import StreamingPipeline
from models.turbo import Turbo
from models.units import Unit
from service import additions, ids, images, tracing
from service.database import connect
from service.errors import StorageUnavailable, StoreUnavailable
from service.jobs import Claim, Generation, Job, UnitDone
from service.objects import Objects, open_objects
from service.store import Store
from service.telemetry import WorkerMetrics
from workers import media
from workers.fitness import Fitness
from workers.lease import Lease
from workers.memory import Recent
from workers.patience import patient
from workers.policy import FramePolicy
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

Networks = StreamingPipeline | FamilyPipeline
MODELS, SYSTEMS, RECIPES, STATES_BYTES = 2, 4, 8, 256 << 20
STATES_S = 600.0  # a video that nobody went on with for so long has ended, or is with another worker


@dataclass
class Workshop:
    """One worker's things. `ready` is set when its models are loaded, `draining` when the process is asked to stop."""

    worker_id: str
    settings: WorkerSettings
    store: Store
    objects: Objects
    metrics: WorkerMetrics
    ready: threading.Event = field(default_factory=threading.Event)
    draining: threading.Event = field(default_factory=threading.Event)
    fitness: Fitness = field(default_factory=Fitness)
    states: Recent[tuple[str, str], bytes] = field(default_factory=lambda: Recent(STATES_BYTES, len, STATES_S))
    _turns: threading.Lock = field(default_factory=threading.Lock)
    _pipelines: Recent[tuple[str, ...], Networks] = field(default_factory=lambda: Recent(MODELS))
    _sources: Recent[str, Source] = field(default_factory=lambda: Recent(SYSTEMS))
    _recipes: Recent[Generation, Recipe] = field(default_factory=lambda: Recent(RECIPES))

    @classmethod
    def open(cls, settings: WorkerSettings) -> Workshop:
        additions.settle(settings)
        store, leaving = Store(connect(settings), settings), threading.Event()
        objects = patient(open_objects(settings), settings.storage_patience_s, leaving)
        return cls(ids.new("worker"), settings, store, objects, WorkerMetrics(), draining=leaving)

    @cached_property
    def frame_policy(self) -> FramePolicy:
        return FramePolicy(self.settings)

    @property
    def takes_units(self) -> bool:
        """Not while it rests, nor when it leaves or should give up its place."""
        return not (self.fitness.rest_s or self.fitness.is_lost or self.draining.is_set())

    def doubt(self, claim: Claim, *, is_own: bool) -> None:
        """A unit went wrong that another worker may make: rest for as long as the longest unit of its model takes."""
        with suppress(StoreUnavailable):
            model = claim.job.generation.model
            paces = [seconds for (name, _), seconds in self.store.pace().items() if name == model]
            self.fitness.failed(max([self.settings.rest_s, *paces]), is_own=is_own)

    def rest(self) -> None:
        """Leave what waits to other workers for a while, where a unit has gone wrong here."""
        if rest_s := self.fitness.rest_s:
            log.warning("this worker rests", extra={"seconds": round(rest_s, 1)})
            self.draining.wait(rest_s)

    def lease(self, claim: Claim) -> Lease:
        return Lease(self.store, claim, ttl_s=self.settings.lease_ttl_s, draining=self.draining.is_set)

    def turn(self, recipe: Recipe) -> AbstractContextManager[Any]:
        """For the work of a recipe's networks: some are one thread's at a time."""
        return nullcontext() if recipe.is_shared else self._turns

    def put(self, key: str, body: bytes | Path, content_type: str = "application/octet-stream") -> None:
        """Store an object, and count how long that took."""
        with tracing.step("store"), self.metrics.upload.time():
            self.objects.put(key, body, content_type)

    def warm(self, model: Model) -> None:
        """Load a model before the first video needs it."""
        self._pipeline(model)
        self._load(model, model.systems)

    def recipe(self, job: Job) -> Recipe:
        """The recipe of a job; it keeps what is constant over the job's chunks, until the job is steered."""
        made = job.generation
        model = made.recipe()

        def write() -> Recipe:
            request = replace(request_of(made), image=self._picture(made), clip=self._clip(made))
            return Recipe(self._pipeline(model), model, request, self._load(model, made.systems()))

        return self._recipes.get_or(made, write)

    def states_for(self, job: Job, unit: Unit) -> dict[str, bytes]:
        """What the units that this one needs have left: from memory, else from object storage."""
        kept = {key: self.states.get((job.id, key)) for key in unit.needs}
        missing = [key for key, state in kept.items() if state is None]
        places = self.store.done_of(job.id, missing) if missing else {}
        return {key: state or self._fetch(places.get(key)) for key, state in kept.items()}

    def forget(self) -> None:
        """Drop what is remembered of jobs; object storage has it all."""
        self.states.clear()
        self._recipes.clear()

    def _fetch(self, done: UnitDone | None) -> bytes:
        if done is None or done.state_key is None:
            raise StorageUnavailable("A state that this unit needs has not been stored.")
        return self.objects.get(done.state_key)

    def _picture(self, generation: Generation) -> np.ndarray | None:
        png = images.of(self.objects, generation)
        return None if png is None else np.asarray(pictures.decode(png))

    def _clip(self, generation: Generation) -> np.ndarray | None:
        """The clip that the video changes, as many of its frames as that takes."""
        if generation.clip is None:
            return None
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(self.objects.get(generation.clip.key))
            file.flush()
            return np.stack(list(islice(media.frames(Path(file.name)), generation.num_frames)))

    def _pipeline(self, model: Model) -> Networks:
        key = (model.checkpoint, model.family, families.beside(model))
        return self._pipelines.get_or(key, lambda: load(model, self.settings))

    def _load(self, model: Model, systems: Collection[str]) -> dict[str, Source]:
        """What draws beside the model's own networks."""

        def fetch(system: str) -> Source:
            return load_system(model, system, self.settings, beside=self._pipeline(model))

        return {system: self._sources.get_or(model.place(system), partial(fetch, system)) for system in systems}


def load(model: Model, settings: WorkerSettings) -> Networks:
    """A model's weights, from where and to where the settings say."""
    device = None if settings.device == "auto" else settings.device
    path = settings.checkpoints.get(model.checkpoint, model.checkpoint)
    pipeline = load_model(model, path, device=device, memory=settings.memory)
    chosen: dict[str, object] = {"memory": pipeline.memory.name, "numbers": pipeline.precision.reason}
    pipeline.company = company(pipeline, settings)
    if settings.compile:
        chosen["blocks"] = compiled(pipeline, model)
    log.info("model loaded", extra={"model": model.name, "device": str(pipeline.device), **chosen})
    return pipeline


def company(pipeline: Networks, settings: WorkerSettings) -> Company:
    """Of the units that are made at once. Raises `CheckpointError` where weights come and go for one thread only."""
    if settings.units_at_once > 1 and pipeline.memory.grouped:
        raise CheckpointError(
            f"LONGTAKE_UNITS_AT_ONCE is {settings.units_at_once}, for which the device must hold all of the networks: "
            f"not LONGTAKE_MEMORY={pipeline.memory.name}, but {LARGE.name}."
        )
    return Company(settings.units_at_once)


def compiled(pipeline: Networks, model: Model) -> int:
    """Have the networks compiled, with all the sizes of the model; how many blocks."""
    if isinstance(pipeline, FamilyPipeline) or pipeline.device.type != "cuda" or pipeline.memory.grouped:
        why = "it is for StreamingT2V's networks, on a GPU that holds all of them: LONGTAKE_MEMORY=large"
        log.warning("not compiled", extra={"model": model.name, "reason": why})
        return 0
    blocks = compile_blocks(pipeline)
    warm_up(pipeline, [Work(*pair) for pair in model.pairs])
    return blocks


def load_system(model: Model, system: str, settings: WorkerSettings, beside: Networks) -> Source:
    """A system's weights, on the device beside the pipeline."""
    from models.first_chunk.loading import load_source

    device, name = (None if settings.device == "auto" else settings.device), model.place(system)
    return load_source(system, settings.checkpoints.get(name, name), device=device, memory=beside.memory)


def request_of(generation: Generation) -> VideoRequest:
    """A job's generation in the words of the model room: frames instead of seconds."""
    refine = generation.refine
    return VideoRequest(
        prompt=generation.prompt,
        prompts=tuple((round(at.at_seconds * generation.fps), at.prompt) for at in generation.prompts),
        negative_prompt=generation.negative_prompt,
        num_frames=generation.num_frames,
        seed=generation.seed,
        seeds=tuple((at.at_frame, at.seed) for at in generation.seeds),
        steps=generation.steps,
        guidance_scale=generation.guidance_scale,
        anchor_guidance_scale=generation.anchor_guidance_scale,
        refine=RefineOptions(refine.steps, refine.strength, refine.blending, refine.bands) if refine else None,
        turbo=generation.turbo or Turbo(),
        interpolate=generation.interpolate,
        upscale=generation.upscale,
        rate=generation.rate,
        motion=generation.motion,
    )
