"""What can be asked of each model: names, sizes, lengths, steps.

Standard library only: the API, the workers and the model rooms all read it, and none of them has to load a
tensor library to know what a model makes. Knows nothing of weights, Redis or HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from models.model import CatalogError, Model, Size, listed
from models.shapes import instruction, language
from models.systems import (
    ANIMATEDIFF,
    CONTROLNET,
    DIFFUSERS,
    DIFFUSERS_I2V,
    FIFO,
    FREENOISE,
    INSTRUCT_PIX2PIX,
    MAKE_A_VIDEO,
    MEMORY,
    OWN,
    STREAMING,
    SVD,
    TEXT2VIDEO_ZERO,
    VIDEOCRAFTER,
    VIDEOCRAFTER_I2V,
)
from models.turbo import Preset, Turbo

TINY_SHAPES = Model(
    name="tiny-shapes",
    description="A small model trained by this project on drawn shapes; runs on any laptop.",
    licence="Apache-2.0",
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
    refine_bands=2,
    preset=Preset(Turbo("dpm++", memory_every=2, deep_every=2), steps=6, refine_steps=4),
    refine_guidance_scale=1.5,
    refine_guidance_rescale=0.0,
    refine_start="consistent",
    eta=0.0,
    hold_known_frames=True,
    prefix="tiny-",
    first_chunks=(OWN, TEXT2VIDEO_ZERO, VIDEOCRAFTER, VIDEOCRAFTER_I2V, MAKE_A_VIDEO),
    streamers=(STREAMING, FIFO, FREENOISE, TEXT2VIDEO_ZERO, VIDEOCRAFTER_I2V, MAKE_A_VIDEO),
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
    first_chunks=(OWN, ANIMATEDIFF, SVD, TEXT2VIDEO_ZERO, VIDEOCRAFTER, VIDEOCRAFTER_I2V, DIFFUSERS, DIFFUSERS_I2V),
    streamers=(STREAMING, FIFO, FREENOISE, TEXT2VIDEO_ZERO, VIDEOCRAFTER_I2V),
    max_frames=4800,
    max_steps=1000,
    default_steps=50,
    default_guidance_scale=7.5,
    default_anchor_guidance_scale=7.5,
    default_refine_steps=30,
    default_refine_strength=0.6,
    first_chunk_guidance_scale=9.0,
    refine_prompt_suffix=", ",
    preset=Preset(Turbo("dpm++", memory_every=2, deep_every=2), steps=25, refine_steps=15),
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
        TINY_SHAPES,
        name="tiny-shapes-turbo",
        description="tiny-shapes in 4 steps without guidance: sooner, and less exact; it has learned from tiny-shapes.",
        checkpoint="tiny-shapes-turbo",
        first_chunks=(),
        streamers=(),
        preset=Preset(Turbo(), steps=4, refine_steps=4),
        max_steps=8,
        default_steps=4,
        default_guidance_scale=1.0,
        default_anchor_guidance_scale=1.0,
        max_guidance_scale=1.0,
        max_anchor_guidance_scale=1.0,
    ),
    replace(
        TINY_SHAPES,
        name="tiny-shapes-dit",
        description="tiny-shapes whose first chunk is gone on from by a diffusion transformer in place of a UNet.",
        checkpoint="tiny-shapes-dit",
        first_chunks=(),
        streamers=(),
        preset=None,
    ),
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
    replace(
        STREAMING_T2V.composed(DIFFUSERS),
        name="streaming-t2v-diffusers",
        description="StreamingT2V going on from a clip by Wan, LTX-Video, CogVideoX or another; needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, and of the clip model",
    ),
    replace(
        STREAMING_T2V.composed(DIFFUSERS_I2V),
        name="streaming-t2v-diffusers-i2v",
        description="StreamingT2V going on from a picture that Wan, LTX-Video, CogVideoX or another sets in motion; "
        "needs a GPU.",
        licence="not for commercial use: that of streaming-t2v, and of the clip model",
    ),
)
#: Weights that come with Longtake: models/checkpoints.
BUNDLED = (
    "tiny-shapes",
    "tiny-shapes-turbo",
    "tiny-shapes-dit",
    "tiny-text2video-zero",
    "tiny-instruct-pix2pix",
    "tiny-controlnet-canny",
    "tiny-videocrafter",
    "tiny-videocrafter-i2v",
    "tiny-make-a-video",
)
MODELS: dict[str, Model] = {model.name: model for model in _ENTRIES}
OWN_MODELS = frozenset(MODELS)
_added_weights: set[str] = set()  # where those of added models are, as their entries say
DEFAULT_MODEL = "tiny-shapes"


def enter(added: Iterable[Model]) -> None:
    """Have these models in the catalogue, besides its own and instead of those that were entered before.

    They are of a family, and their entries say where their weights are. Raises `CatalogError('name_taken')`.
    """
    models = {model.name: model for model in added}
    if taken := sorted(models.keys() & OWN_MODELS):
        raise CatalogError("name_taken", "name", f"{taken[0]} is a model of Longtake's own; give another name.")
    for name in MODELS.keys() - OWN_MODELS - models.keys():
        del MODELS[name]
    MODELS.update(models)
    _added_weights.clear()
    _added_weights.update(model.checkpoint for model in models.values())


def offered(placed: Collection[str]) -> dict[str, Model]:
    """The models that can be asked for: those of which the weights come with Longtake, or are known to be somewhere."""
    return {name: model for name, model in MODELS.items() if all(is_here(part, placed) for part in model.weights)}


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
    if name in models and name not in editors:
        raise CatalogError("unknown_model", "model", f"{name} changes no videos; there is {', '.join(editors)}.")
    return find(name or next(iter(editors)), editors)


def is_here(weights: str, places: Collection[str]) -> bool:
    """Whether weights of that name come with Longtake, are in one of the settings' places, or an added model's."""
    return weights in BUNDLED or weights in places or weights in _added_weights


def placed(model: Model, places: Collection[str]) -> Model:
    """The model where all its weights are here: bundled, or in `places`. Raises `CatalogError('not_offered')`."""
    if missing := sorted(name for name in model.weights if not is_here(name, places)):
        raise CatalogError("not_offered", "recipe", f"The weights of {listed(missing)} are not here.")
    return model
