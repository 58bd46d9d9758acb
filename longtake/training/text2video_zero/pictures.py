"""What a network of pictures is taught: the noise or the velocity, at several noise levels of each picture.

Owns the loss, how pictures become latents, and what every stage reads; knows nothing of what else a network is shown.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from longtake.training.folder import frozen
from longtake.training.objective import target
from longtake.training.recipe import read


@cache
def tiny(stage: str) -> Any:
    """How the bundled weights' stage of that name is trained."""
    return read("tiny-text2video-zero").stages[stage]


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] in [-1, 1] -> scaled latents [B, C, h, w], where the autoencoder is."""
    shown = pixels.to(vae.device, vae.dtype, memory_format=torch.channels_last)
    latents: Tensor = vae.encode(shown).latent_dist.mean.float() * vae.config.scaling_factor
    return latents


def levels(count: int, steps: int) -> Tensor:
    """A timestep for each of `count` pictures, one from each `count`-th of all: a batch sees every noise level."""
    strata = (torch.arange(count) + torch.rand(count)) / count
    return (strata[torch.randperm(count)] * steps).long()


def loss(network: Any, scheduler: Any, latents: Tensor, **shown: Any) -> Tensor:  # [B, C, h, w]
    """MSE over pictures at noise levels of their own.

    network: (noisy [B, C, h, w], t [B], **shown) -> an output with `sample`.
    """
    noise = torch.randn_like(latents)
    t = levels(len(latents), scheduler.config.num_train_timesteps).to(latents.device)
    noisy = scheduler.add_noise(latents, noise, t).contiguous(memory_format=torch.channels_last)
    made = network(noisy, t, **shown).sample
    return (made.float() - target(scheduler, latents, noise, t)).square().mean()


def readers(checkpoint: Path) -> tuple[Any, Any, Any]:
    """Tokenizer, text encoder and autoencoder, which no stage changes."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint / "tokenizer")
    text_encoder = frozen(CLIPTextModel, checkpoint / "text_encoder")
    return tokenizer, text_encoder, channels_last(frozen(AutoencoderKL, checkpoint / "vae"))


def channels_last(network: nn.Module) -> nn.Module:
    """Laid out as a CPU's convolutions like it; nothing else changes."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def prepared(network: Any) -> Any:
    """A network that learns on a CPU: attention as two products, a tenth to a fifth faster here than torch's fused."""
    network.set_attn_processor(AttnProcessor())
    return channels_last(network)
