"""The parts of Make-A-Video as one checkpoint folder in diffusers layout, and a clip drawn by all of them.

Source: Make-A-Video (arXiv 2209.14792) Eq. 1: ŷ = SRₕ ∘ SRₗᵗ ∘ ↑F ∘ Dᵗ ∘ P(x). Owns which parts there are and their
order; what each does stands in its own module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from models.make_a_video import decoder
from models.make_a_video.enlargement import Enlargement, Enlarger
from models.make_a_video.interpolation import Filling, interpolated

# Imported for diffusers too, which loads a component's class only from a module that is there already.
from models.make_a_video.network import SpaceTimeUNet
from models.make_a_video.prior import imagine, read
from models.streaming_t2v.sampler import OnStep, ignore


class MakeAVideoPipeline(DiffusionPipeline):
    """Components: the prior with CLIP's text tower, the decoder, and what makes its clips longer and larger.

    text_encoder: a CLIPTextModelWithProjection. prior: a PriorTransformer; its scheduler predicts the sample.
    scheduler: of all that draw frames. vae: an AutoencoderKL, whose latents decoder and interpolator draw; without it
    they draw pixels, as in the paper. enlarger (SRₗᵗ), sharpener (SRₕ): always in pixels; by how much they enlarge
    says the configuration. A checkpoint can do without any but the schedule: some only make other systems' video longer
    or larger.
    """

    _optional_components = [
        "tokenizer", "text_encoder", "prior", "prior_scheduler", "decoder",
        "interpolator", "enlarger", "sharpener", "vae",
    ]  # fmt: skip

    def __init__(
        self,
        scheduler: DDIMScheduler,
        tokenizer: Any = None,
        text_encoder: Any = None,
        prior: Any = None,
        prior_scheduler: DDIMScheduler | None = None,
        decoder: SpaceTimeUNet | None = None,
        interpolator: SpaceTimeUNet | None = None,
        enlarger: SpaceTimeUNet | None = None,
        sharpener: SpaceTimeUNet | None = None,
        vae: Any = None,
        enlarger_factor: int = 4,
        sharpener_factor: int = 3,
    ):
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            prior=prior,
            prior_scheduler=prior_scheduler,
            decoder=decoder,
            scheduler=scheduler,
            interpolator=interpolator,
            enlarger=enlarger,
            sharpener=sharpener,
            vae=vae,
        )
        self.register_to_config(enlarger_factor=enlarger_factor, sharpener_factor=sharpener_factor)


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip is to show, and how it is to be drawn.

    frames: that the decoder draws, at `fps`. factor: how many frames ↑F makes of one; 1 leaves them. larger, sharper:
    how SRₗᵗ and SRₕ enlarge them; None leaves them. prior_scale: guidance of the prior by the words; guidance_scale: of
    the decoder by the embedding that the prior has drawn.
    """

    prompt: str
    negative_prompt: str = ""
    frames: int = 16
    fps: float = 8.0
    seed: int = 0
    steps: int = 25
    prior_scale: float = 4.0
    guidance_scale: float = 4.0
    factor: int = 1
    filling: Filling = field(default_factory=Filling)
    larger: Enlargement | None = None
    sharper: Enlargement | None = None


def draw(parts: MakeAVideoPipeline, clip: Clip, on_step: OnStep = ignore) -> np.ndarray:
    """uint8 [F, H, W, 3]. on_step counts the steps of the decoder. Raises ValueError for a part that is not there."""
    needed = dict.fromkeys(("tokenizer", "text_encoder", "prior", "prior_scheduler", "decoder"), True)
    longer, larger, sharper = clip.factor > 1, clip.larger is not None, clip.sharper is not None
    needed |= {"interpolator": longer, "enlarger": larger, "sharpener": sharper}
    for name, wanted in needed.items():
        if wanted and getattr(parts, name) is None:
            raise ValueError(f"This checkpoint of Make-A-Video has no {name}.")
    tokens = parts.prior.config.num_embeddings
    words, null = (
        read(parts.tokenizer, parts.text_encoder, text, tokens) for text in (clip.prompt, clip.negative_prompt)
    )
    embedding = imagine(
        parts.prior, parts.prior_scheduler, words, null,
        steps=clip.steps, guidance_scale=clip.prior_scale, seed=clip.seed,
    )  # fmt: skip
    side = parts.decoder.image.config.sample_size
    frames = decoder.draw(
        parts.decoder, parts.scheduler, embedding,
        frames=clip.frames, height=side, width=side, fps=clip.fps, steps=clip.steps,
        guidance_scale=clip.guidance_scale, seed=clip.seed, on_step=on_step,
    )  # fmt: skip
    if clip.factor > 1:
        pieces = interpolated(
            parts.interpolator, parts.scheduler, frames, clip.factor, clip.filling,
            seed=clip.seed, condition=embedding, null=torch.zeros_like(embedding), fps=clip.fps * clip.factor,
        )  # fmt: skip
        frames = torch.cat(list(pieces), dim=2)
    if parts.vae is not None:
        frames = decoded(parts.vae, frames)
    for network, how in ((parts.enlarger, clip.larger), (parts.sharpener, clip.sharper)):
        if how is not None:
            pieces = Enlarger(network, parts.scheduler, how, seed=clip.seed).run(frames.clamp(-1, 1))
            frames = torch.cat(list(pieces), dim=2)
    pixels = (frames[0].clamp(-1, 1) + 1) * 127.5
    return pixels.round().byte().permute(1, 2, 3, 0).cpu().numpy()


@torch.no_grad()
def decoded(vae: Any, latents: Tensor) -> Tensor:  # scaled, [1, C, F, h, w] -> [1, 3, F, H, W]
    """One frame at a time: decoding takes a hundred times the room of the latents."""
    frames = (latents[0].transpose(0, 1) / vae.config.scaling_factor).to(vae.dtype).split(1)
    return torch.cat([vae.decode(frame).sample.float() for frame in frames]).transpose(0, 1)[None]
