"""A video of one frame is the picture that diffusers' own pipelines make of the same weights and the same noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionControlNetPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image

from models import noise
from models.text2video_zero import clip, control, edit, pipeline
from models.text2video_zero.control import ControlOptions
from models.text2video_zero.edit import EditOptions
from models.text2video_zero.options import Options
from models.text2video_zero.parts import ddim
from models.text2video_zero.pipeline import Text2VideoZero

PROMPT, NEGATIVE = "a horse is galloping", "rain"
GIVEN = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
SIZE = {"height": 64, "width": 96}


def picture(kind, parts, stage, *, prompt=PROMPT, **given):
    """What that pipeline of diffusers makes from the noise that our videos start from, uint8 [H, W, 3]."""
    own = {**parts.components, "scheduler": ddim(parts.scheduler, 5)}
    networks = {name: given.pop(name) for name in ("unet", "controlnet") if name in given}
    theirs = kind(**own | networks, requires_safety_checker=False)
    theirs.set_progress_bar_config(disable=True)
    latents = noise.gaussian((1, 4, 8, 12), seed=1, stage=stage, index=0)
    made = theirs(prompt, negative_prompt=NEGATIVE, latents=latents, output_type="np", **given)
    return (made.images[0] * 255).round()


def assert_same(ours, theirs):
    (frames,) = list(ours)
    assert frames.shape == (1, *theirs.shape)
    assert np.abs(frames[0] - theirs).max() <= 1


@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_of_text(stable_diffusion, scale):
    shot = Text2VideoZero(stable_diffusion, Options(steps=5, guidance_scale=scale), **SIZE, seed=1)
    theirs = picture(
        StableDiffusionPipeline, stable_diffusion, pipeline.STAGE, num_inference_steps=5, guidance_scale=scale, **SIZE
    )
    assert_same(shot.generate(PROMPT, NEGATIVE, num_frames=1), theirs)


def test_of_control(controlled):
    options = ControlOptions(steps=5, guidance_scale=6.0, control_scale=0.7)
    ours = control.draw(controlled, GIVEN, PROMPT, NEGATIVE, seed=1, options=options)
    theirs = picture(
        StableDiffusionControlNetPipeline, controlled, clip.STAGE, controlnet=controlled.controlnet,
        image=Image.fromarray(GIVEN[0]), num_inference_steps=5, guidance_scale=6.0, controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    assert_same(ours, theirs)


def test_of_an_edit(stable_diffusion):
    torch.manual_seed(8)
    unet = UNet2DConditionModel.from_config({**stable_diffusion.unet.config, "in_channels": 8}).eval()
    before, stable_diffusion.unet = stable_diffusion.unet, unet
    try:
        options = EditOptions(steps=5, guidance_scale=6.0, image_guidance_scale=1.4)
        ours = edit.edit(stable_diffusion, GIVEN, PROMPT, NEGATIVE, seed=1, options=options)
        theirs = picture(
            StableDiffusionInstructPix2PixPipeline, stable_diffusion, clip.STAGE, unet=unet,
            image=Image.fromarray(GIVEN[0]), num_inference_steps=5, guidance_scale=6.0, image_guidance_scale=1.4,
        )  # fmt: skip
        assert_same(ours, theirs)
    finally:
        stable_diffusion.unet = before
