"""One entry of the catalogue: what a model can be asked for, and what of it can be exchanged.

Standard library only. Knows which systems there are, and no model by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from models.systems import (
    ALONE,
    FROM_CLIPS,
    FROM_PICTURES,
    MEMORY,
    OWN,
    OWNED,
    SAMPLING,
    STREAMING,
    TEXT2VIDEO_ZERO,
)
from models.turbo import Preset


class CatalogError(ValueError):
    """A request that a model cannot take. `field` names the request field, the message what is allowed."""

    def __init__(self, code: str, field: str, message: str):
        super().__init__(message)
        self.code, self.field = code, field


class CheckpointError(ValueError):
    """A checkpoint cannot be loaded; the message says which it is and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels; `str()` is the API's form, '256x256'."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def listed(things: Iterable[object]) -> str:
    """'a, b and c', for sentences."""
    *others, last = map(str, things)
    return f"{', '.join(others)} and {last}" if others else last


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of GET /v1/models. Frame counts are at the model's own `fps`."""

    name: str
    description: str
    licence: str
    checkpoint: str  # its weights: a folder below models/checkpoints, or a name of which the settings say where it is
    fps: int
    size: Size  # what the streaming stage makes
    refined_size: Size  # what the refinement stage makes of it
    max_frames: int
    max_steps: int
    default_steps: int
    default_guidance_scale: float
    default_anchor_guidance_scale: float
    default_refine_steps: int
    default_refine_strength: float  # share of the noise schedule that refinement goes back to, 0 < s <= 1
    more_sizes: tuple[tuple[Size, Size], ...] = ()  # other pairs of `size` and `refined_size` to choose from
    first_chunk: str = OWN  # the checkpoint's own network, or another system's
    streamer: str = STREAMING
    first_chunks: tuple[str, ...] = ()  # what a recipe may name instead
    streamers: tuple[str, ...] = ()
    family: str = ""  # which of `models.families` goes on with it; the papers' systems where it is none
    options: tuple[tuple[str, bool | int | float | str], ...] = ()  # what the family samples by besides
    given: tuple[str, ...] = ()  # what a family makes a video from: text, image
    negative_prompt: str = ""  # of a family, where a request has none
    sound_rate: int = 0  # samples a second of the sound that a family makes; 0: it makes none
    prefix: str = ""  # what the names of the other systems' weights begin with
    first_chunk_steps: int | None = (
        None  # of the first chunk, where a request leaves steps to the model; 0: as released
    )
    first_chunk_guidance_scale: float | None = None  # and where it leaves guidance to it
    streamer_steps: int | None = None  # the same of later chunks
    streamer_guidance_scale: float | None = None
    refine_guidance_scale: float = 7.5
    refine_guidance_rescale: float = 0.2
    refine_start: str = "published"  # how the start level is scaled: `models.refinement.solver.STARTS`
    refine_prompt_suffix: str = ""  # what the refiner reads after the prompt
    refine_negative_prompt: str = ""  # what it reads where the request has no negative prompt
    eta: float = 1.0  # of DDIM in the streaming stage
    hold_known_frames: bool = False  # keep the conditioning frames' latents instead of making them again
    chunk_frames: int = 16
    conditioning_frames: int = 8
    window_frames: int = 24
    window_overlap: int = 8
    refine_bands: int = 4  # how many workers can refine one video at once
    preset: Preset | None = None  # of turbo, by StreamingT2V
    max_prompt_chars: int = 2000
    max_guidance_scale: float = 30.0
    max_anchor_guidance_scale: float = 30.0
    max_interpolate: int = 5  # frames made of one
    upscales: tuple[int, ...] = (2,)  # factors of both sides
    read_prompt: Callable[[str], str] = str  # free English -> what the text encoder is given; may raise NotUnderstood

    @property
    def new_frames(self) -> int:
        """Frames that one streaming chunk adds."""
        return self.chunk_frames - self.conditioning_frames

    @property
    def pairs(self) -> tuple[tuple[Size, Size], ...]:
        """What the streaming stage makes and what refinement makes of it, the default first."""
        return ((self.size, self.refined_size), *self.more_sizes)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Every size that can be asked for: each pair's two, none twice."""
        return tuple(dict.fromkeys(size for pair in self.pairs for size in pair))

    @property
    def refined_sizes(self) -> tuple[Size, ...]:
        return tuple(refined for size, refined in self.pairs if refined != size)

    def at(self, size: str) -> Model:
        """The same model with the pair that `size` is one of as its own."""
        for pair in self.pairs:
            if size in map(str, pair):
                rest = tuple(other for other in self.pairs if other != pair)
                return replace(self, size=pair[0], refined_size=pair[1], more_sizes=rest)
        raise CatalogError("unknown_size", "size", f"size is '{size}'; {self.name} makes {listed(self.sizes)}.")

    def shaped(self, size: str) -> Model:
        """The same at that of its sizes whose shape is nearest to `size`."""
        width, height = (int(side) for side in size.split("x"))
        near = lambda own: abs(math.log(own.width * height / (own.height * width)))  # noqa: E731
        return self.at(str(min((pair[0] for pair in self.pairs), key=near)))

    @property
    def systems(self) -> frozenset[str]:
        """Those that draw with other weights than the checkpoint's."""
        return frozenset({self.first_chunk, self.streamer} - OWNED)

    @property
    def weights(self) -> frozenset[str]:
        """The names of all weights it is made of, by which the settings place them."""
        return frozenset({self.checkpoint, *map(self.place, self.systems)})

    def place(self, system: str) -> str:
        """The name of a system's weights."""
        return self.prefix + system

    def composed(self, first_chunk: str | None = None, streamer: str | None = None) -> Model:
        """The same with other systems; None leaves what there is. Raises `CatalogError('unknown_recipe')`."""
        first, then = first_chunk or self.first_chunk, streamer or self.streamer
        for field, name, known in (
            ("first_chunk", first, (self.first_chunk, *self.first_chunks)),
            ("streamer", then, (self.streamer, *self.streamers)),
        ):
            if name not in known:
                said = f"recipe.{field} is '{name}'; {self.name} takes {listed(dict.fromkeys(known))}."
                raise CatalogError("unknown_recipe", f"recipe.{field}", said)
        if then in ALONE and first != then:
            if first_chunk and first_chunk != then:
                said = f"{then} goes on only from its own first chunk, not from that of {first}."
                raise CatalogError("unknown_recipe", "recipe.first_chunk", said)
            first = then
        if (first, then) == (self.first_chunk, self.streamer):
            return self
        chunk_frames, conditioning_frames = MEMORY[then]
        made = replace(
            self, first_chunk=first, streamer=then, chunk_frames=chunk_frames, conditioning_frames=conditioning_frames
        )
        if first != self.first_chunk:
            steps, scale = SAMPLING[self.checkpoint if first == OWN else self.place(first)]
            made = replace(made, first_chunk_steps=steps, first_chunk_guidance_scale=scale)
        if then != self.streamer:
            steps, scale = (None, None) if then in OWNED else SAMPLING[self.place(then)]
            made = replace(made, streamer_steps=steps, streamer_guidance_scale=scale)
        return made

    @property
    def turbo(self) -> Preset | None:
        """What is done where a request asks for turbo and says no more; None where another system goes on."""
        return self.preset if self.streamer == STREAMING else None

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it makes a video from; StreamingT2V goes on from a picture, whoever else draws the first chunk."""
        if self.given:
            return self.given
        if self.streamer in FROM_CLIPS:
            return ("clip",)
        if self.needs_image:
            return ("image",)
        return ("text",) if self.streamer == TEXT2VIDEO_ZERO else ("text", "image")

    @property
    def needs_image(self) -> bool:
        return "text" not in self.given if self.given else self.first_chunk in FROM_PICTURES
