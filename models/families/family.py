"""What a family is: how its checkpoints are recognised and described, and what streams with their networks.

Standard library only. Knows no family by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.model import CatalogError, Model, Size, listed
from models.systems import OWN

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer

MAX_MINUTES = 10  # of one video

Option = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a checkpoint in diffusers layout says of itself, without its weights.

    index: `model_index.json`. configs: the configuration of each component by its name.
    """

    index: Mapping[str, Any]
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def pipeline(self) -> str:
        """The name of its class in diffusers."""
        return str(self.index.get("_class_name"))

    def of(self, component: str, name: str, default: Any = None) -> Any:
        """One entry of a component's configuration."""
        return self.configs.get(component, {}).get(name, default)


@dataclass(frozen=True, slots=True)
class Habits:
    """How the models of a kind are asked, as they were released.

    chunk_frames: of the first chunk; new_frames: that each later one adds. side_of: what both sides of a frame are a
    multiple of, in pixels. negative_prompt: where a request has none. inputs: where they are not the family's.
    sound_rate: samples a second of the sound that is made with the frames; 0 where none is.
    """

    fps: int
    sizes: tuple[Size, ...]  # the default first
    steps: int
    guidance_scale: float
    chunk_frames: int
    new_frames: int
    side_of: int = 16
    max_guidance_scale: float = 30.0
    negative_prompt: str = ""
    inputs: tuple[str, ...] | None = None
    sound_rate: int = 0


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model that goes on from chunk to chunk.

    pipelines: the class names in diffusers by which its checkpoints are recognised. options: what it samples by
    besides what a request says, with their defaults. habits: of a checkpoint with these facts, sampled by these
    options. inputs: what it makes a video from, of text and image. licence: of the released weights.

    stream: what makes the chunks of one video, from the loaded pipeline and the brief. load: what loads a checkpoint
    that diffusers alone does not, from its folder or Hub id, `device` and `dtypes` (by component, or `default`).
    refuse: what of a checkpoint cannot be done, as a sentence; None where all of it can. beside: the option that names
    another checkpoint, folder or Hub id, which is loaded whole and stands in the pipeline as `beside`.
    is_named: its checkpoints look like those of others, so that whoever adds one must name the family.
    """

    name: str
    title: str
    pipelines: frozenset[str]
    habits: Callable[[Facts, Mapping[str, Any]], Habits]
    stream: Callable[[Any, Brief], ChunkStreamer]
    inputs: tuple[str, ...] = ("text",)
    licence: str = "unknown"
    options: Mapping[str, Option] = field(default_factory=dict)
    load: Callable[..., Any] | None = None
    refuse: Callable[[Facts], str | None] = lambda facts: None
    beside: str = ""
    is_named: bool = False

    def describe(
        self,
        name: str,
        weights: str,
        facts: Facts,
        *,
        sizes: tuple[Size, ...] = (),
        licence: str = "",
        **options: Option,
    ) -> Model:
        """The catalogue's entry for a checkpoint; sizes, licence and options where they are not those of the release.

        weights: its folder or Hub id. Raises `CatalogError` for what does not fit the family.
        """
        if (why := self.refuse(facts)) is not None:
            raise CatalogError("not_offered", "model", f"{weights} cannot be streamed: {why}")
        if strange := sorted(options.keys() - self.options.keys()):
            there = f"there is {listed(self.options)}" if self.options else "there are none"
            raise CatalogError("unknown_option", "set", f"{self.name} has no option {listed(strange)}; {there}.")
        chosen = {**self.options, **options}
        habits = self.habits(facts, chosen)
        first, *others = sizes or habits.sizes
        for size in (first, *others):
            if size.width % habits.side_of or size.height % habits.side_of:
                said = f"size is '{size}'; both sides of {self.name} are multiples of {habits.side_of}."
                raise CatalogError("unknown_size", "size", said)
        return Model(
            name=name,
            description=f"{self.title}, from {weights}.",
            licence=licence or self.licence,
            checkpoint=weights,
            family=self.name,
            given=self.inputs if habits.inputs is None else habits.inputs,
            options=tuple(chosen.items()),
            streamer=OWN,
            fps=habits.fps,
            size=first,
            refined_size=first,
            more_sizes=tuple((size, size) for size in others),
            chunk_frames=habits.chunk_frames,
            conditioning_frames=habits.chunk_frames - habits.new_frames,
            negative_prompt=habits.negative_prompt,
            sound_rate=habits.sound_rate,
            max_frames=MAX_MINUTES * 60 * habits.fps,
            max_steps=250,
            default_steps=habits.steps,
            default_guidance_scale=habits.guidance_scale,
            max_guidance_scale=habits.max_guidance_scale,
            default_anchor_guidance_scale=1.0,
            max_anchor_guidance_scale=1.0,
            default_refine_steps=1,
            default_refine_strength=1.0,
        )
