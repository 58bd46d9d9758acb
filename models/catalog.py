"""What can be asked of each model: names, sizes, lengths, steps.

Standard library only: the API, the workers and the model rooms all read it, and none of them has to load a
tensor library to know what a model makes. Knows nothing of weights, Redis or HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.shapes import instruction, language
from models.systems import (
    ALONE,
    ANIMATEDIFF,
    CONTROLNET,
    FROM_CLIPS,
    FROM_PICTURES,
    INSTRUCT_PIX2PIX,
    MAKE_A_VIDEO,
    MEMORY,
    OWN,
    SAMPLING,
    STREAMING,
    SVD,
    TEXT2VIDEO_ZERO,
    VIDEOCRAFTER,
    VIDEOCRAFTER_I2V,
)


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
    family: str = ""  # what the names of the other systems' weights begin with
    first_chunk_steps: int | None = None  # of the first chunk, where a request leaves steps to the model
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
        """Those besides StreamingT2V that draw."""
        return frozenset({self.first_chunk, self.streamer} - {OWN, STREAMING})

    @property
    def weights(self) -> frozenset[str]:
        """The names of all weights it is made of, by which the settings place them."""
        return frozenset({self.checkpoint, *map(self.place, self.systems)})

    def place(self, system: str) -> str:
        """The name of a system's weights."""
        return self.family + system

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
        chunk_frames, conditioning_frames = MEMORY[then]
        made = replace(
            self, first_chunk=first, streamer=then, chunk_frames=chunk_frames, conditioning_frames=conditioning_frames
        )
        if first != self.first_chunk:
            steps, scale = SAMPLING[self.checkpoint if first == OWN else self.place(first)]
            made = replace(made, first_chunk_steps=steps, first_chunk_guidance_scale=scale)
        if then != self.streamer:
            steps, scale = (None, None) if then == STREAMING else SAMPLING[self.place(then)]
            made = replace(made, streamer_steps=steps, streamer_guidance_scale=scale)
        return made

    @property
    def bundled(self) -> bool:
        """Whether all its weights come with Longtake; else the settings must say where they are."""
        return self.weights <= set(BUNDLED)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it makes a video from; StreamingT2V goes on from a picture, whoever else draws the first chunk."""
        if self.streamer in FROM_CLIPS:
            return ("clip",)
        if self.needs_image:
            return ("image",)
        return ("text",) if self.streamer == TEXT2VIDEO_ZERO else ("text", "image")

    @property
    def needs_image(self) -> bool:
        return self.first_chunk in FROM_PICTURES


TINY_SHAPES = Model(
    name="tiny-shapes",
    description="A small model trained by this project on drawn shapes; runs on any laptop.",
    licence="same as the project",
    checkpoint="tiny-shapes",
    fps=8,
    size=Size(64, 64),
    refined_size=Size(128, 128),
    max_frames=4800,
    max_steps=250,
    default_steps=25,
    default_guidance_scale=2.0,
    default_anchor_guidance_scale=2.0,
    default_refine_steps=8,
    default_refine_strength=0.5,
    refine_guidance_scale=1.5,
    refine_guidance_rescale=0.0,
    refine_start="consistent",
    eta=0.0,
    hold_known_frames=True,
    family="tiny-",
    first_chunks=(OWN, TEXT2VIDEO_ZERO, VIDEOCRAFTER, VIDEOCRAFTER_I2V, MAKE_A_VIDEO),
    streamers=(STREAMING, TEXT2VIDEO_ZERO, VIDEOCRAFTER_I2V, MAKE_A_VIDEO),
    read_prompt=lambda prompt: str(language.read(prompt)),
)
STREAMING_T2V = Model(
    name="streaming-t2v",
    description="StreamingT2V with its published weights: anything, 256x256, refined to 720x720; needs a GPU.",
    licence="not for commercial use: CC BY-NC 4.0, refined CC BY-NC-ND 4.0",
    checkpoint="streaming-t2v",
    fps=8,
    size=Size(256, 256),
    refined_size=Size(720, 720),
    more_sizes=((Size(448, 256), Size(1280, 720)), (Size(448, 256), Size(1024, 576))),
    first_chunks=(OWN, ANIMATEDIFF, SVD, TEXT2VIDEO_ZERO, VIDEOCRAFTER, VIDEOCRAFTER_I2V),
    streamers=(STREAMING, TEXT2VIDEO_ZERO, VIDEOCRAFTER_I2V),
    max_frames=4800,
    max_steps=1000,
    default_steps=50,
    default_guidance_scale=7.5,
    default_anchor_guidance_scale=7.5,
    default_refine_steps=30,
    default_refine_strength=0.6,
    first_chunk_guidance_scale=9.0,
    refine_prompt_suffix=", ",
)


def _along(system: str) -> dict[str, Any]:
    """What is different of a model that follows a clip."""
    chunk_frames, conditioning_frames = MEMORY[system]
    return {
        "first_chunk": system,
        "streamer": system,
        "chunk_frames": chunk_frames,
        "conditioning_frames": conditioning_frames,
        "first_chunks": (),
        "streamers": (),
        "max_steps": 100,
        "default_anchor_guidance_scale": 1.0,
    }


_SMALL: dict[str, Any] = {"size": Size(128, 128), "refined_size": Size(128, 128)}
_LARGE: dict[str, Any] = {  # near 512x512, as Stable Diffusion was trained
    "size": Size(512, 512),
    "refined_size": Size(512, 512),
    "more_sizes": ((Size(768, 448), Size(768, 448)), (Size(448, 768), Size(448, 768))),
}
_ENTRIES = (
    TINY_SHAPES,
    replace(
        TINY_SHAPES.composed(TEXT2VIDEO_ZERO, TEXT2VIDEO_ZERO),
        name="tiny-text2video-zero",
        description="Text2Video-Zero alone, on drawn shapes: one picture that the camera moves over.",
    ),
    replace(
        TINY_SHAPES.composed(VIDEOCRAFTER, VIDEOCRAFTER_I2V),
        name="tiny-videocrafter",
        description="VideoCrafter alone, on drawn shapes: 16 frames, and then again and again from the last one.",
    ),
    replace(
        TINY_SHAPES.composed(MAKE_A_VIDEO, MAKE_A_VIDEO),
        name="tiny-make-a-video",
        description="Make-A-Video alone, on drawn shapes: it never saw a caption beside a video.",
    ),
    replace(
        TINY_SHAPES,
        **_along(INSTRUCT_PIX2PIX) | _SMALL | {"default_anchor_guidance_scale": 2.0},
        name="tiny-instruct-pix2pix",
        description="Changes one thing in a video of drawn shapes: colour, shape, size or background.",
        max_guidance_scale=10.0,
        max_anchor_guidance_scale=10.0,
        default_steps=10,
        default_guidance_scale=3.0,
        read_prompt=lambda prompt: str(instruction.read(prompt)),
    ),
    replace(
        TINY_SHAPES,
        **_along(CONTROLNET) | _SMALL,
        name="tiny-controlnet-canny",
        description="Draws a prompt along the edges of a video of drawn shapes, by ControlNet.",
        max_anchor_guidance_scale=2.0,
        default_steps=20,
        default_guidance_scale=3.0,
    ),
    STREAMING_T2V,
    replace(
        STREAMING_T2V,
        **_along(INSTRUCT_PIX2PIX) | _LARGE,
        name="instruct-pix2pix",
        description="Changes a video as an instruction says, by InstructPix2Pix; needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, and of InstructPix2Pix",
        max_guidance_scale=10.0,
        max_anchor_guidance_scale=10.0,
    ),
    replace(
        STREAMING_T2V,
        **_along(CONTROLNET) | _LARGE,
        name="controlnet-canny",
        description="Draws a prompt along the edges of a video, by ControlNet on any Stable Diffusion; needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, of the Stable Diffusion model, and of the ControlNet",
        max_anchor_guidance_scale=2.0,
        default_steps=20,
        default_guidance_scale=9.0,
    ),
    replace(
        STREAMING_T2V.composed(ANIMATEDIFF),
        name="streaming-t2v-animatediff",
        description="StreamingT2V going on from a first chunk by AnimateDiff; needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, and of the Stable Diffusion model in AnimateDiff",
    ),
    replace(
        STREAMING_T2V.composed(SVD),
        name="streaming-t2v-svd",
        description="StreamingT2V going on from a picture that Stable Video Diffusion sets in motion; needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, and Stability AI's of Stable Video Diffusion",
    ),
    replace(
        STREAMING_T2V.composed(TEXT2VIDEO_ZERO),
        name="streaming-t2v-text2video-zero",
        description="StreamingT2V going on from Text2Video-Zero on any Stable Diffusion; needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, and of the Stable Diffusion model",
    ),
    replace(
        STREAMING_T2V.composed(VIDEOCRAFTER),
        name="streaming-t2v-videocrafter",
        description="StreamingT2V going on from a first chunk by VideoCrafter; needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, and VideoCrafter's",
    ),
    replace(
        STREAMING_T2V.composed(VIDEOCRAFTER_I2V),
        name="streaming-t2v-videocrafter-i2v",
        description="StreamingT2V going on from a picture and a prompt that VideoCrafter makes a clip of; needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, and VideoCrafter's",
    ),
)
#: Weights that come with Longtake: models/checkpoints.
BUNDLED = (
    "tiny-shapes",
    "tiny-text2video-zero",
    "tiny-instruct-pix2pix",
    "tiny-controlnet-canny",
    "tiny-videocrafter",
    "tiny-videocrafter-i2v",
    "tiny-make-a-video",
)
MODELS: dict[str, Model] = {model.name: model for model in _ENTRIES}
DEFAULT_MODEL = "tiny-shapes"


def offered(placed: Collection[str]) -> dict[str, Model]:
    """The models that can be asked for: the bundled ones, and those of which the settings say where weights are."""
    return {name: model for name, model in MODELS.items() if model.weights <= {*BUNDLED, *placed}}


def find(name: str, models: Mapping[str, Model] = MODELS) -> Model:
    """The model of that name. Raises `CatalogError('unknown_model')` naming those there are."""
    if name not in models:
        no = (
            f"The weights of {name} are not here (docs/checkpoints.md)"
            if name in MODELS
            else f"There is no model '{name}'"
        )
        raise CatalogError("unknown_model", "model", f"{no}; there is {', '.join(models)}.")
    return models[name]


def editor(name: str | None, models: Mapping[str, Model]) -> Model:
    """The model of that name, or the first that changes clips. Raises `CatalogError('unknown_model')`."""
    editors = {known: model for known, model in models.items() if "clip" in model.inputs}
    if not editors:
        raise CatalogError("unknown_model", "model", "No model here changes videos (docs/methods.md).")
    return find(name or next(iter(editors)), editors)


def is_here(weights: str, places: Collection[str]) -> bool:
    """Whether weights of that name come with Longtake, or are in one of the settings' places."""
    return weights in BUNDLED or weights in places


def placed(model: Model, places: Collection[str]) -> Model:
    """The model where all its weights are here: bundled, or in `places`. Raises `CatalogError('not_offered')`."""
    if missing := sorted(name for name in model.weights if not is_here(name, places)):
        raise CatalogError("not_offered", "recipe", f"The weights of {listed(missing)} are not here.")
    return model
