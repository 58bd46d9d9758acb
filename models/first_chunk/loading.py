"""The weights of the systems that draw first chunks, by the names that the catalogue has for them.

Owns where each is loaded and in which precision: half on a GPU, as they were published. Safetensors only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from models.first_chunk import along, animatediff, make_a_video, released, svd, text2video_zero, videocrafter
from models.first_chunk.source import Source
from models.loading import find_checkpoint
from models.memory import placement, presets
from models.model import CheckpointError
from models.systems import (
    ANIMATEDIFF,
    CONTROLNET,
    DIFFUSERS,
    DIFFUSERS_I2V,
    INSTRUCT_PIX2PIX,
    MAKE_A_VIDEO,
    SVD,
    TEXT2VIDEO_ZERO,
    VIDEOCRAFTER,
    VIDEOCRAFTER_I2V,
)

SOURCES: dict[str, Callable[..., Source]] = {
    ANIMATEDIFF: animatediff.load,
    SVD: svd.load,
    TEXT2VIDEO_ZERO: text2video_zero.load,
    VIDEOCRAFTER: videocrafter.load,
    VIDEOCRAFTER_I2V: videocrafter.load,
    DIFFUSERS: released.load_text,
    DIFFUSERS_I2V: released.load_pictures,
    MAKE_A_VIDEO: make_a_video.load,
    INSTRUCT_PIX2PIX: along.load_instruct_pix2pix,
    CONTROLNET: along.load_controlnet,
}


def load_source(
    name: str,
    path: str | Path,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    memory: presets.Preset = presets.LARGE,
) -> Source:
    """The source of that name from a folder in diffusers layout, or a Hub id. Raises `CheckpointError`.

    memory: the preset of the pipeline that goes on from it, which shares the device with it.
    """
    folder = find_checkpoint(path)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or (torch.float32 if device == "cpu" else torch.float16)
    variant = "fp16" if _is_half_only(Path(folder)) else None
    try:
        source = SOURCES[name](folder, dtype=dtype, variant=variant, use_safetensors=True)
    except (OSError, ValueError, ImportError, TypeError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no {name} that Longtake can load: {error}") from error
    placement.place_beside(source.pipeline, memory, torch.device(device))
    return source


def _is_half_only(folder: Path) -> bool:
    stem = folder / "unet" / "diffusion_pytorch_model"
    return Path(f"{stem}.fp16.safetensors").is_file() and not Path(f"{stem}.safetensors").is_file()
