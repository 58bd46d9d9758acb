"""The nouns of the work: a job, what it generates, and what passes between the store and a worker.

Frozen and JSON-serialisable. Times are unix seconds. Knows nothing of Redis, HTTP or tensors.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from models import catalog, systems, units
from models.model import CatalogError, Model
from models.turbo import Turbo
from models.units import Stage, Unit
from service.graph import WorkGraph

SCHEMA_VERSION = 2  # since 2 several units of a job may be in work at once


class JobState(StrEnum):
    """queued -> in_progress -> completed | failed | cancelled; nothing leaves the last three."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self not in (JobState.QUEUED, JobState.IN_PROGRESS)


class Record(BaseModel):
    """What all of these share: frozen, no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptAt(Record):
    """From `at_seconds` on, the video follows this prompt."""

    at_seconds: float
    prompt: str


class SeedAt(Record):
    """From chunk boundary `at_frame` on, chance is drawn from this seed: what a branch changes."""

    at_frame: int
    seed: int


class Refine(Record):
    """How the video is refined to the model's larger size."""

    steps: int
    strength: float
    blending: Literal["randomized", "paper", "middle"] = "randomized"
    bands: int = 1  # how many workers can refine it at once: models.tiles


class ImageRef(Record):
    """The picture that a video begins with: where it is kept, and what it must be."""

    key: str
    sha256: str


class ClipRef(Record):
    """The clip that a video changes: a finished video, and how many frames it has."""

    key: str
    frames: int


class Generation(Record):
    """What is made. With the model's weights it decides every frame: the same generation, the same video.

    num_frames, fps and size are those of the stages before interpolation and enlargement.
    """

    model: str
    prompt: str
    prompts: tuple[PromptAt, ...] = ()
    negative_prompt: str = ""
    num_frames: int
    fps: int
    size: str
    seed: int
    seeds: tuple[SeedAt, ...] = ()
    steps: int
    guidance_scale: float
    anchor_guidance_scale: float
    refine: Refine | None = None
    turbo: Turbo | None = None  # None: nothing is left out
    image: ImageRef | None = None
    clip: ClipRef | None = None
    first_chunk: str | None = None  # another system than the model's own: a recipe
    streamer: str | None = None
    rate: float | None = None  # frames a second that motion is drawn for
    motion: tuple[float, float] | None = None  # of the camera, a frame
    interpolate: Annotated[int, BeforeValidator(lambda value: value or 1)] = 1  # false in records of old
    upscale: int = 1

    def recipe(self) -> Model:
        """The model with the systems that this video is made by, at its size. Raises `CatalogError`."""
        return catalog.find(self.model).composed(self.first_chunk, self.streamer).at(self.size)

    def systems(self) -> tuple[str, ...]:
        """What makes it besides the model's own networks. Raises `CatalogError`."""
        later = (systems.MAKE_A_VIDEO,) if self.interpolate > 1 or self.upscale > 1 else ()
        return tuple(dict.fromkeys((*sorted(self.recipe().systems), *later)))

    def plan(self) -> tuple[Unit, ...]:
        """The units of this video, in their order. Raises `CatalogError` where the model is no longer offered."""
        steps, bands = (self.refine.steps, self.refine.bands) if self.refine else (None, 1)
        systems = (self.model, self.first_chunk, self.streamer)
        return _plan(systems, self.num_frames, steps, self.interpolate, self.upscale, bands)

    @property
    def made(self) -> Made:
        """What comes out at the end."""
        width, height = (self.upscale * int(side) for side in self.size.split("x"))
        frames = units.interpolated(self.num_frames, self.interpolate)
        return Made(size=f"{width}x{height}", fps=self.fps * self.interpolate, frames=frames)

    @property
    def tracks(self) -> tuple[str, ...]:
        """The renditions of this video, from the first that can be watched to the best."""
        wanted = {
            Stage.STREAM: True,
            Stage.REFINE: self.refine is not None,
            Stage.INTERPOLATE: self.interpolate > 1,
            Stage.UPSCALE: self.upscale > 1,
        }
        return tuple(stage.track for stage, is_wanted in wanted.items() if is_wanted)

    def fps_of(self, stage: Stage) -> int:
        """Frames a second of what a stage emits."""
        return self.fps * (self.interpolate if stage in (Stage.INTERPOLATE, Stage.UPSCALE) else 1)


@lru_cache(maxsize=256)
def _plan(
    systems: tuple[str, str | None, str | None],
    num_frames: int,
    refine_steps: int | None,
    interpolate: int,
    upscale: int,
    refine_bands: int,
) -> tuple[Unit, ...]:
    name, first_chunk, streamer = systems
    model = catalog.find(name).composed(first_chunk, streamer)
    return tuple(units.plan(model, num_frames, refine_steps, interpolate, upscale, refine_bands))


class Made(Record):
    """Of a finished video."""

    size: str
    fps: int
    frames: int


class Ancestry(Record):
    """The video that this one goes on from, and what of it is shared: the first units of each stage, so many.

    at_frame: where this video leaves its parent; 0 for a remix or an edit, which share no frame.
    """

    kind: Literal["extension", "branch", "remix", "edit"]
    video: str
    at_frame: int = 0
    chunks: int = 0
    tiles: int = Field(default=0, validation_alias=AliasChoices("tiles", "diagonals"))  # the latter in version 1
    interpolated: int = 0
    upscaled: int = 0

    def has(self, unit: Unit) -> bool:
        """Whether a unit of the plan is shared, and so need not be made."""
        shared = {
            Stage.REFINE: self.tiles,
            Stage.INTERPOLATE: self.interpolated,
            Stage.UPSCALE: self.upscaled,
            Stage.FINISH: 0,
        }
        return unit.index < shared.get(unit.stage, self.chunks)


class WebhookTarget(Record):
    """Where this job's events are posted, and which of them."""

    url: str
    events: tuple[str, ...]


class JobError(Record):
    code: str
    message: str


class InWork(Record):
    """A unit that a worker has: under which fence, and how far it is; 0 of 0 where it has not said."""

    fence: int
    worker: str
    step: int = 0
    steps: int = 0


class Job(Record):
    """One video's work. Only the store makes a changed one."""

    schema_version: int = SCHEMA_VERSION
    id: str
    tenant: str
    created_at: float
    generation: Generation
    ancestry: Ancestry | None = None
    units_total: int
    metadata: dict[str, str] = Field(default_factory=dict)
    webhook: WebhookTarget | None = None
    priority: int = 5  # 0 to 9, the highest is done first
    deadline_s: float | None = None  # seconds after created_at
    traceparent: str = ""  # of the request that ordered it: service.tracing

    # What changes while it is done
    state: JobState = JobState.QUEUED
    pool: str = ""  # the workers that make it: `Settings.pools`; the store says it
    units_done: int = 0
    ready: tuple[int, ...] | None = None  # positions that can be claimed; None: who claims works it out
    working: dict[int, InWork] = Field(default_factory=dict)  # by position
    opened: int = 0  # how many units its last commit has made ready
    fence: int = 0  # of the last claim
    frames: int = 0  # that can be watched
    gpu_seconds: float = 0.0
    paces: dict[str, float] = Field(default_factory=dict)  # what its own units took: service.estimates
    started_at: float | None = None
    first_frame_at: float | None = None
    completed_at: float | None = None
    expires_at: float | None = None  # when it is deleted, once it is at its end
    error: JobError | None = None
    quality: dict[str, Any] | None = None
    artefacts: dict[str, str] = Field(default_factory=dict)  # "video", "preview", "thumbnail" -> object key

    def work(self) -> tuple[Unit, ...]:
        """The units that are this job's to make. Raises `CatalogError` where its model is no longer offered."""
        return self.graph().work

    def graph(self) -> WorkGraph:
        """The same, and what waits for what. Raises `CatalogError`."""
        return _graph(self.generation, self.ancestry)

    @property
    def plan(self) -> tuple[Unit, ...]:
        """The same, but none where its model is no longer offered."""
        try:
            return self.work()
        except CatalogError:
            return ()

    @property
    def left(self) -> tuple[int, ...]:
        """Positions of what is not done, those in work among them."""
        if not self.plan or self.ready is None:
            return tuple(range(self.units_done, len(self.plan)))
        return self.graph().left({*self.ready, *self.working})

    @property
    def unit(self) -> Unit | None:
        """The first unit that is in work or next; None when all are done."""
        left = self.left
        return self.plan[left[0]] if left else None

    @property
    def stage(self) -> str | None:
        return str(self.unit.stage) if self.unit else None

    @property
    def begun(self) -> float:
        """How much of units is done of those in work."""
        return sum(work.step / work.steps for work in self.working.values() if work.steps)


@lru_cache(maxsize=256)
def _graph(generation: Generation, ancestry: Ancestry | None) -> WorkGraph:
    plan = generation.plan()
    return WorkGraph(plan, [unit for unit in plan if not (ancestry and ancestry.has(unit))])


class Segment(Record):
    """Encoded frames of one unit: fragmented MP4, playable after its init segment."""

    track: Literal["preview", "refined", "interpolated", "upscaled"]
    key: str
    init_key: str
    first_frame: int
    num_frames: int
    duration_s: float
    bytes: int
    sha256: str
    init_sha256: str = ""  # '' in records from before it was kept; players must be told where another init begins
    codecs: str = ""  # RFC 6381, for example "avc1.64000a"


class UnitDone(Record):
    """What a worker reports of a unit; the committed list of a job is made of these."""

    position: int
    unit: str  # models.units.Unit.key
    fence: int
    worker_id: str
    seconds: float
    state_key: str | None = None
    segment: Segment | None = None
    artefacts: dict[str, str] = Field(default_factory=dict)
    quality: dict[str, Any] | None = None

    @property
    def stage(self) -> str:
        return self.unit.rsplit("-", 1)[0]


class Claim(Record):
    """The right to do one unit, until its lease runs out. `job` is as it was then."""

    job: Job
    position: int
    attempt: int
    fence: int
    worker_id: str

    @property
    def stage(self) -> str:
        """That of the unit; '' where the model is no longer offered."""
        return str(self.job.plan[self.position].stage) if self.job.plan else ""


class Renewal(StrEnum):
    """What a heartbeat learns."""

    HELD = "held"
    CANCELLED = "cancelled"
    LOST = "lost"
