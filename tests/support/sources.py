"""The systems that draw first chunks, as diffusers saves them, at a width that a test can bear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    MotionAdapter,
    StableVideoDiffusionPipeline,
    UNet2DConditionModel,
    UNetSpatioTemporalConditionModel,
)
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_pndm import PNDMScheduler
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from tests.support import released

WIDTHS, CONTEXT = (8, 16), 32


def animatediff(folder: Path) -> Path:
    """AnimateDiff's own folder."""
    unet, parts = _stable_diffusion(folder.with_name("words"))
    schedule = DDIMScheduler(beta_schedule="linear", clip_sample=False, timestep_spacing="linspace", steps_offset=1)
    AnimateDiffPipeline(unet=unet, motion_adapter=_adapter(), scheduler=schedule, **parts).save_pretrained(folder)
    return folder


def stable_diffusion(folder: Path, *, with_adapter: bool) -> Path:
    """A folder of Stable Diffusion 1.5, whose schedule is not AnimateDiff's; a motion adapter may lie in it."""
    from diffusers import StableDiffusionPipeline

    unet, parts = _stable_diffusion(folder.with_name("words"))
    schedule = PNDMScheduler(beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1)
    pipeline = StableDiffusionPipeline(
        unet=unet, scheduler=schedule, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        **parts,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    if with_adapter:
        _adapter().save_pretrained(folder / "motion_adapter")
    return folder


def controlled(folder: Path) -> Path:
    """The same with a ControlNet as trained: its last layers, which begin as zeros, say something."""
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline

    plain = stable_diffusion(folder.with_name("plain"), with_adapter=False)
    parts = StableDiffusionPipeline.from_pretrained(plain, safety_checker=None)
    torch.manual_seed(7)
    controlnet: Any = ControlNetModel.from_unet(parts.unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
    for name, weight in controlnet.named_parameters():
        if "cond_embedding" in name or not weight.any():
            torch.nn.init.normal_(weight, std=0.3)
    whole = StableDiffusionControlNetPipeline(**parts.components, controlnet=controlnet, requires_safety_checker=False)
    whole.save_pretrained(folder)
    return folder


def _stable_diffusion(words: Path) -> tuple[UNet2DConditionModel, dict[str, object]]:
    torch.manual_seed(3)
    if not words.exists():
        released.tokenizer(words)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=CONTEXT,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    text = CLIPTextConfig(
        vocab_size=len(released.WORDS) + 2, hidden_size=CONTEXT, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=len(released.WORDS), eos_token_id=len(released.WORDS) + 1, pad_token_id=0,
    )  # fmt: skip
    return unet, {
        "vae": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4, 4, 8, 8),
            layers_per_block=1,
            norm_num_groups=4,
        ),
        "text_encoder": CLIPTextModel(text),
        "tokenizer": CLIPTokenizer.from_pretrained(words),
    }


def _adapter() -> MotionAdapter:
    return MotionAdapter(
        block_out_channels=WIDTHS,
        motion_layers_per_block=1,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
    )


def stable_video(folder: Path, num_frames: int = 17) -> Path:
    """Stable Video Diffusion's folder."""
    torch.manual_seed(4)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, projection_dim=CONTEXT, num_hidden_layers=1, num_attention_heads=2,
        image_size=224, patch_size=56,
    )  # fmt: skip
    StableVideoDiffusionPipeline(
        unet=UNetSpatioTemporalConditionModel(
            sample_size=8,
            num_frames=num_frames,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            cross_attention_dim=CONTEXT,
            num_attention_heads=(2, 4),
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=24,
        ),
        vae=AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * 4, block_out_channels=(32, 32, 32, 32), layers_per_block=1
        ),
        image_encoder=CLIPVisionModelWithProjection(vision),
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear", prediction_type="v_prediction", use_karras_sigmas=True,
            timestep_spacing="leading", timestep_type="continuous", sigma_max=700.0, sigma_min=0.002,
        ),
        feature_extractor=CLIPImageProcessor(),
    ).save_pretrained(folder)  # fmt: skip
    return folder
