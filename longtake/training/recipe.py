"""A recipe: all that a training is told, in one TOML file.

Owns the keys, their defaults (the paper's, StreamingT2V, arXiv 2403.14773, where it has one) and what is said of a
wrong one; knows nothing of networks.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from longtake.training.budget import Budget

RECIPES = Path(__file__).parent / "recipes"
CHUNK_FRAMES = 16  # frames that are denoised together
Share = Annotated[float, Field(ge=0, le=1)]
Table = dict[str, Any]


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message names the file and the key."""


class Strict(BaseModel):
    """Unknown keys are refused: a mistyped one would otherwise change nothing, and nobody would know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageRecipe(Strict):
    """How a stage learns: AdamW with warm-up, a flat part, and a cosine to `last` times the rate."""

    minutes: PositiveFloat | None = None  # of all sittings together; or steps
    steps: PositiveInt | None = None
    rate: PositiveFloat
    warm_up_steps: int = Field(default=100, ge=0)
    flat: Share = 0.4  # share of the budget at full rate
    last: Share = 0.03
    weight_decay: float = Field(default=1e-2, ge=0)
    betas: tuple[Share, Share] = (0.9, 0.99)
    clip: PositiveFloat = 1.0  # of the gradient's norm
    ema: Share = 0.999
    accumulation: PositiveInt = 1  # batches a step
    precision: Literal["no", "fp16", "bf16"] = "bf16"  # `no`: float32 throughout
    processes: PositiveInt = 1  # of one thread each, on the CPU; `accelerate launch` starts those of several GPUs
    seed: int = 1
    keep_every_s: float = Field(default=120.0, ge=0)  # how often progress is kept: so much is lost at most
    ahead: int = Field(default=0, ge=0)  # batches that are read in advance, each by a thread

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("it ends after `minutes` or after `steps`: give one of them")
        return self

    @property
    def budget(self) -> Budget:
        return Budget(self.minutes, self.steps)

    def rate_at(self, step: int, done: float) -> float:
        """The learning rate at a step, `done` being the share of the stage's budget that is spent."""
        after = max(0.0, (min(done, 1.0) - self.flat) / (1 - self.flat)) if self.flat < 1 else 0.0
        cosine = self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * after))
        return self.rate * min(1.0, (step + 1) / max(1, self.warm_up_steps)) * cosine


class StreamingRecipe(StageRecipe):
    """What the stages of the streaming network are told besides."""

    batch: PositiveInt = 8  # clips, a process
    frames: int = Field(default=CHUNK_FRAMES, ge=CHUNK_FRAMES)  # of a clip, of which the last 16 are denoised
    drop_text: Share
    known_weight: Share = 1.0  # how much a known frame counts in the loss
    noisier_half: Share = 0.0  # share of a batch whose timesteps are from the noisier half, not from all
    memory_noise: float = Field(default=0.0, ge=0)  # above 0, memory is decoded from latents with so much noise
    dropout: bool = True  # whether the networks' own dropout is active
    gradient_checkpointing: bool = False


class CamRecipe(StreamingRecipe):
    """Stage 1. In the paper a text is dropped alone in 5 % of the samples and with the anchor in 5 %."""

    drop_text: Share = 0.1
    base: Literal["first_chunk", "unet"] = "first_chunk"  # which network of the checkpoint CAM is put upon
    embedding_channels: tuple[PositiveInt, ...] = (32, 96, 256, 512)  # of E_cond, where CAM is begun anew


class ApmRecipe(StreamingRecipe):
    """Stage 2."""

    frames: int = Field(default=2 * CHUNK_FRAMES, ge=CHUNK_FRAMES)
    anchor_frames: tuple[PositiveInt, PositiveInt] = (1, 16)  # the anchor is one of these, counted from 1
    drop_text: Share = 0.05  # alone
    drop_anchor: Share = 0.05  # alone
    drop_both: Share = 0.05
    hidden_dim: PositiveInt = 1280  # of APM's perceptron, where it is begun anew

    @model_validator(mode="after")
    def _has_anchor(self) -> Self:
        first, last = self.anchor_frames
        if not first <= last <= self.frames:
            raise ValueError(f"anchor_frames are [first, last] within the clip's {self.frames} frames")
        return self


class TransformerRecipe(ApmRecipe):
    """Of a diffusion transformer in the UNet's place."""

    blocks: PositiveInt = Field(default=6, multiple_of=2)  # CAM enters the last half of them, and copies the first
    drop_memory: Share = 0.1  # of batches: learnt as text to video


class Data(Strict):
    """What `cam` and `apm` learn from: a folder of videos, or without one the shapes world."""

    videos: Path | None = None
    fps: PositiveFloat = 3.0  # at which videos are read
    size: int = Field(default=256, gt=0, multiple_of=8)  # pixels, of a square
    pairs: Share = 0.12  # of drawn scenes with two actors
    latest: int = Field(default=72, ge=0)  # frame of a drawn scene at which a clip begins at the latest


class Recipe(Strict):
    """checkpoint: where the training begins, a bundled name or a folder in diffusers layout; from nothing without it.
    parts: which of its components are taken over, all without it. fresh: leave that checkpoint's CAM and APM, and what
    it tuned for them, behind. runs: where progress and logs are kept. result: the folder trained into, below runs.
    """

    checkpoint: str | None = None
    parts: tuple[str, ...] | None = None
    fresh: bool = False
    runs: Path = Path("runs")
    result: Path
    data: Data = Data()
    vae: StageRecipe | None = None
    text: StageRecipe | None = None
    layout: StageRecipe | None = None
    clip: StageRecipe | None = None
    first_chunk: StageRecipe | None = None
    cam: CamRecipe | None = None
    apm: ApmRecipe | None = None
    refiner: StageRecipe | None = None
    quick_first_chunk: StageRecipe | None = None
    quick_chunk: ApmRecipe | None = None
    transformer: TransformerRecipe | None = None
    text_to_image: StageRecipe | None = None
    edit: StageRecipe | None = None
    control: StageRecipe | None = None
    text_to_video: StageRecipe | None = None
    image_to_video: StageRecipe | None = None
    prior: StageRecipe | None = None
    image_decoder: StageRecipe | None = None
    video_decoder: StageRecipe | None = None
    interpolator: StageRecipe | None = None
    enlarger: StageRecipe | None = None
    sharpener: StageRecipe | None = None

    @property
    def folder(self) -> Path:
        return self.runs / self.result

    @property
    def stages(self) -> dict[str, StageRecipe]:
        """Its stages, in their order."""
        told = {name: getattr(self, name) for name in STAGES}
        return {name: recipe for name, recipe in told.items() if recipe is not None}


STAGES = (
    *("vae", "text", "layout", "clip", "first_chunk", "cam", "apm", "refiner"),
    *("quick_first_chunk", "quick_chunk", "transformer"),
    *("text_to_image", "edit", "control"),
    *("text_to_video", "image_to_video"),
    *("prior", "image_decoder", "video_decoder", "interpolator", "enlarger", "sharpener"),
)


def read(source: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of that file or bundled name, with `changes` (nested as in the file). Raises `RecipeError`."""
    path = Path(source) if Path(source).is_file() else RECIPES / f"{source}.toml"
    try:
        table: Table = tomllib.loads(path.read_text())
    except OSError:
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise RecipeError(f"There is no recipe '{source}': neither a file, nor one of {known}.") from None
    except ValueError as error:
        raise RecipeError(f"{path}: {error}") from None
    try:
        return Recipe.model_validate(_for_every_stage(_merged(table, changes or {})))
    except ValidationError as error:
        raise RecipeError("\n".join(f"{path}: {_sentence(fault)}" for fault in error.errors())) from None


@cache
def tiny_shapes(stage: str) -> Any:
    """How the bundled model's stage of that name is trained."""
    return read("tiny-shapes").stages[stage]


def _for_every_stage(table: Table) -> Table:
    """Table [every] is what a stage's table is taken to say where it does not."""
    shared = table.pop("every", {})
    return {key: _ending(shared, value) if key in STAGES else value for key, value in table.items()}


def _ending(shared: Table, own: Table) -> Table:
    """A stage that says when it ends is not told otherwise."""
    ends = {"minutes", "steps"} if {"minutes", "steps"} & own.keys() else set()
    return {**{key: value for key, value in shared.items() if key not in ends}, **own}


def _merged(table: Table, changes: Mapping[str, Any]) -> Table:
    """`changes` take the place of what the table says; of a stage that it does not have they say nothing."""
    for key, value in changes.items():
        if not isinstance(value, Mapping):
            table = {**table, key: value}
        elif key not in STAGES or key in table:
            table = {**table, key: _ending(table.get(key, {}), dict(value))}
    return table


def _sentence(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"there is no key {key}"
    if fault["type"] == "missing":
        return f"{key} is missing"
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}, not {fault['input']!r}"[:500]
