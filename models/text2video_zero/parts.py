"""The parts of Stable Diffusion 1.x that Text2Video-Zero samples with: any folder in diffusers layout.

Owns which parts are needed and how the schedule is read; samples nothing. There are no weights but Stable Diffusion's.
"""

from __future__ import annotations

from typing import Any

from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from models.model import CheckpointError

#: DDIM's grid as published, whichever solver the folder names: 981, 961, … 1 with 50 steps.
GRID = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "leading"}


def load(folder: str, *, shown: bool = False, controlled: bool = False, **options: Any) -> Any:
    """A StableDiffusionPipeline, used as the holder of its parts. Safetensors only, unless `options` say otherwise.

    shown: whether the network is one of InstructPix2Pix, which is shown a picture beside the noise. controlled: whether
    there is a ControlNet with it, the `controlnet` of a StableDiffusionControlNetPipeline. options: those of
    `from_pretrained`. Raises OSError or ValueError where the folder is no such pipeline, and `CheckpointError` where
    its network reads something else (such as an inpainting model's) or the ControlNet belongs to another.
    """
    unused = {"safety_checker": None, "feature_extractor": None, "image_encoder": None}
    options = {"use_safetensors": True, "requires_safety_checker": False, **unused, **options}
    kind = StableDiffusionControlNetPipeline if controlled else StableDiffusionPipeline
    parts = kind.from_pretrained(folder, **options)
    for network in (parts.unet, parts.vae, parts.text_encoder, *((parts.controlnet,) if controlled else ())):
        network.eval().requires_grad_(False)
    taken, needed = parts.unet.config.in_channels, parts.vae.config.latent_channels * (2 if shown else 1)
    if taken != needed:
        meant = "an InstructPix2Pix" if shown else "a text-to-image model"
        raise CheckpointError(f"{folder} reads {taken} channels where {meant} reads {needed}.")
    for name in ("in_channels", "cross_attention_dim") if controlled else ():
        own, needed = parts.controlnet.config[name], parts.unet.config[name]
        if own != needed:
            said = f"is for networks whose {name} is {own}, and this one's is {needed}"
            raise CheckpointError(f"The ControlNet of {folder} {said}.")
    return parts


def ddim(scheduler: Any, steps: int) -> DDIMScheduler:
    """The published solver with the noise levels and the prediction type of the folder's own."""
    made = DDIMScheduler.from_config(scheduler.config, **GRID)
    made.set_timesteps(steps)
    return made
