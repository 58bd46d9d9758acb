"""From one training to the next: the trained parts as one checkpoint in half precision, and back again.

Owns which parts there are; knows nothing of how they are trained.
"""

from __future__ import annotations

import functools
import inspect
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    PriorTransformer,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast,
)

from longtake.checkpoints.conversion import LICENCE
from longtake.checkpoints.inventory import INDEX, components, seal
from models.first_chunk.text2video_zero import SAMPLING
from models.make_a_video.network import SpaceTimeUNet
from models.make_a_video.pipeline import MakeAVideoPipeline
from models.model import CheckpointError
from models.refinement.schedule import LogSNRCosineSchedule
from models.streaming_dit.cam import ConditionalAttentionTransformer
from models.streaming_dit.transformer import StreamingTransformer3D
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.unet import StreamingUNet3D
from models.videocrafter.pipeline import VideoCrafterPipeline
from models.videocrafter.projection import ImageProjection
from models.videocrafter.schedule import ScaledSchedule
from models.videocrafter.unet import VideoCrafterUNet3D

ORIGIN = "begun_from.json"
#: Where the transformer's parts are trained, beside those of the UNet.
TRANSFORMER_FOLDERS = {"unet": "transformer", "cam": "transformer_cam", "apm": "transformer_apm"}


@dataclass(frozen=True)
class Bundle:
    """A checkpoint below models/checkpoints, made of what stages have trained.

    parts: its components' classes. folders: where a component was trained, if not in a folder of its own name.
    optional: components that it can do without, and has where they were trained. files: JSON that lies beside them.
    """

    name: str
    pipeline: Any
    parts: Mapping[str, Any]
    folders: Mapping[str, str] = field(default_factory=dict)
    optional: Collection[str] = ()
    files: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, part: str) -> str:
        return self.folders.get(part, part)


TINY_SHAPES = Bundle(
    "tiny-shapes",
    StreamingPipeline,
    {
        "tokenizer": PreTrainedTokenizerFast,
        "text_encoder": CLIPTextModel,
        "vae": AutoencoderKL,
        "scheduler": DDIMScheduler,
        "first_chunk": StreamingUNet3D,
        "unet": StreamingUNet3D,
        "cam": ConditionalAttentionModule,
        "apm": AppearancePreservationModule,
        "image_encoder": CLIPVisionModelWithProjection,
        "refiner": StreamingUNet3D,
        "refiner_schedule": LogSNRCosineSchedule,
    },
)
#: In as few steps as it was distilled to.
TINY_SHAPES_TURBO = replace(
    TINY_SHAPES,
    name="tiny-shapes-turbo",
    folders={"first_chunk": "quick_first_chunk", "unet": "quick_unet", "cam": "quick_cam"},
)
#: With a diffusion transformer in the place of the UNet that goes on from the first chunk.
TINY_SHAPES_DIT = replace(
    TINY_SHAPES,
    name="tiny-shapes-dit",
    parts={**TINY_SHAPES.parts, "unet": StreamingTransformer3D, "cam": ConditionalAttentionTransformer},
    folders=TRANSFORMER_FOLDERS,
)
TINY_VIDEOCRAFTER = Bundle(
    "tiny-videocrafter",
    VideoCrafterPipeline,
    {
        "tokenizer": PreTrainedTokenizerFast,
        "text_encoder": CLIPTextModel,
        "vae": AutoencoderKL,
        "schedule": ScaledSchedule,
        "unet": VideoCrafterUNet3D,
    },
    {"unet": "text_to_video"},
)
TINY_VIDEOCRAFTER_I2V = Bundle(
    "tiny-videocrafter-i2v",
    VideoCrafterPipeline,
    {
        **TINY_VIDEOCRAFTER.parts,
        "image_encoder": CLIPVisionModelWithProjection,
        "image_projection": ImageProjection,
    },
    {"unet": "image_to_video"},
)


def _stable_diffusion(**parts: Any) -> Any:
    """With a ControlNet or without; `StableDiffusionPipeline` reads both, and leaves the ControlNet alone."""
    kind = StableDiffusionControlNetPipeline if "controlnet" in parts else StableDiffusionPipeline
    return kind(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


TINY_INSTRUCT_PIX2PIX = Bundle(
    "tiny-instruct-pix2pix",
    _stable_diffusion,
    {
        "tokenizer": PreTrainedTokenizerFast,
        "text_encoder": CLIPTextModel,
        "vae": AutoencoderKL,
        "scheduler": DDIMScheduler,
        "unet": UNet2DConditionModel,
    },
    {"unet": "edit_unet"},
)
TINY_TEXT2VIDEO_ZERO = Bundle(
    "tiny-text2video-zero",
    _stable_diffusion,
    TINY_INSTRUCT_PIX2PIX.parts,
    # Noised up to T = 941 as published, the small shapes of 16x16 latents jump.
    files={SAMPLING: {"t_prime": 301, "t_start": 401, "motion": [-8, 0]}},
)
TINY_CONTROLNET_CANNY = Bundle(
    "tiny-controlnet-canny",
    _stable_diffusion,
    {**TINY_TEXT2VIDEO_ZERO.parts, "controlnet": ControlNetModel},
)
TINY_MAKE_A_VIDEO = Bundle(
    "tiny-make-a-video",
    functools.partial(MakeAVideoPipeline, sharpener_factor=2),
    {
        "tokenizer": PreTrainedTokenizerFast,
        "text_encoder": CLIPTextModelWithProjection,
        "prior": PriorTransformer,
        "prior_scheduler": DDIMScheduler,
        "decoder": SpaceTimeUNet,
        "scheduler": DDIMScheduler,
        "interpolator": SpaceTimeUNet,
        "sharpener": SpaceTimeUNet,
        "vae": AutoencoderKL,
    },
    {"text_encoder": "clip_text_encoder", "decoder": "video_decoder"},
    optional=("tokenizer", "text_encoder", "prior", "prior_scheduler", "decoder"),
)
#: By the `result` of the recipe that trains them.
BUNDLES: dict[str, tuple[Bundle, ...]] = {
    "tiny-shapes": (TINY_SHAPES,),
    "tiny-shapes-turbo": (TINY_SHAPES_TURBO,),
    "tiny-shapes-dit": (TINY_SHAPES_DIT,),
    "tiny-text2video-zero": (TINY_TEXT2VIDEO_ZERO, TINY_INSTRUCT_PIX2PIX, TINY_CONTROLNET_CANNY),
    "tiny-make-a-video": (TINY_MAKE_A_VIDEO,),
    "tiny-videocrafter": (TINY_VIDEOCRAFTER, TINY_VIDEOCRAFTER_I2V),
}

#: Whose components the other bundles have too.
SHARED = (TINY_SHAPES.name, TINY_TEXT2VIDEO_ZERO.name)


def bundle(trained: Path, checkpoint: Path, what: Bundle = TINY_SHAPES) -> None:
    """Write `checkpoint` from the folder that the stages have trained into; every stage must have run, but for optional
    components. A component that is that of a checkpoint of `SHARED`, beside it, becomes a link to it.
    """
    absent = [name for name in what.parts if not (trained / what.folder(name)).is_dir()]
    if missing := [what.folder(name) for name in absent if name not in what.optional]:
        raise CheckpointError(f"{trained} lacks {', '.join(missing)}; train those stages first.")
    there = {name: part for name, part in what.parts.items() if name not in absent}
    parts = {name: part.from_pretrained(trained / what.folder(name)) for name, part in there.items()}
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.half()
    for link in (checkpoint / name for name in there):
        if link.is_symlink():  # else what is written would be written into the other checkpoint
            link.unlink()
    what.pipeline(**parts).save_pretrained(checkpoint, safe_serialization=True)
    for other in (checkpoint.with_name(name) for name in SHARED if name != what.name):
        for name in there:
            share(checkpoint / name, other / name, there[name])
    for name, content in what.files.items():
        (checkpoint / name).write_text(json.dumps(content) + "\n")
    seal(checkpoint)


def share(component: Path, other: Path, kind: Any) -> None:
    """Put a link to another checkpoint's component in the place of one that is the same, but for where it was read, and
    for what its class takes for granted: `kind` may have learned more words since the other was written.
    """
    words = inspect.signature(kind.__init__).parameters.values()
    granted = {word.name: word.default for word in words if word.default is not word.empty}
    if not component.is_symlink() and other.is_dir() and _told_in(component, granted) == _told_in(other, granted):
        shutil.rmtree(component)
        component.symlink_to(Path("..") / other.parent.name / other.name)


def _told_in(component: Path, granted: Mapping[str, Any]) -> dict[str, Any]:
    return {file.name: _told(file, granted) for file in component.iterdir()}


def _told(file: Path, granted: Mapping[str, Any]) -> Any:
    if file.suffix != ".json":
        return file.read_bytes()
    told = json.loads(file.read_text())
    if not isinstance(told, dict):
        return told
    return {key: value for key, value in {**granted, **told}.items() if key != "_name_or_path"}


def unbundle(checkpoint: Path, trained: Path, names: Collection[str] | None = None, *, fresh: bool = False) -> None:
    """The other way: a checkpoint's components where the stages find them, to be trained further; all by default.

    fresh: without CAM and the network that was tuned with it, and with an APM that knows nothing. `trained` appears
    when it is whole. Raises `CheckpointError`.
    """
    draft = trained.with_name(f".{trained.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    for name in _components(checkpoint) if names is None else names:
        if not (fresh and name in ("unet", "cam")):
            shutil.copytree(checkpoint / name, draft / name)
    for file in (INDEX, LICENCE) if names is None else ():
        if (checkpoint / file).is_file():
            shutil.copy2(checkpoint / file, draft / file)
    if names is None:
        (draft / ORIGIN).write_text(_origin(checkpoint, fresh))
    if fresh and (draft / "apm").is_dir():
        config = AppearancePreservationModule.load_config(draft / "apm")
        shutil.rmtree(draft / "apm")
        torch.manual_seed(0)
        AppearancePreservationModule.from_config(config).save_pretrained(draft / "apm")
    draft.rename(trained)


def check_origin(trained: Path, checkpoint: Path, fresh: bool) -> None:
    """Raises `CheckpointError` where a folder was begun otherwise: going on would ignore the checkpoint."""
    file = trained / ORIGIN
    if not file.is_file() or file.read_text() != _origin(checkpoint, fresh):
        raise CheckpointError(
            f"{trained} is there already, and was not begun from {checkpoint} in this way; give other `runs`."
        )


def _origin(checkpoint: Path, fresh: bool) -> str:
    return json.dumps({"checkpoint": str(checkpoint.resolve()), "fresh": fresh}) + "\n"


def _components(checkpoint: Path) -> list[str]:
    found = components(checkpoint)
    kind = json.loads((checkpoint / INDEX).read_text()).get("_class_name")
    if kind != StreamingPipeline.__name__:
        raise CheckpointError(f"{checkpoint} is a {kind}; `longtake convert` makes of it what can be trained here.")
    return [component.name for component in found]
