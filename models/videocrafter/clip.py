"""One clip of VideoCrafter1, from a text or from a text and a picture.

Source: arXiv 2310.19512. Owns what a clip is made of and how the network is guided; knows nothing of what a clip is a
part of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers.models.modeling_utils import get_parameter_device
from torch import Tensor

from models import noise, pixels
from models.streaming_t2v.anchor import clip_pixels
from models.streaming_t2v.context import Context
from models.streaming_t2v.sampler import OnStep, branches, guide, ignore
from models.streaming_t2v.text import EncodedText, encode
from models.videocrafter.pipeline import VideoCrafterPipeline
from models.videocrafter.sampler import Denoise, sample


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip is to show and how it is drawn; the noise is that of (seed, index).

    image: uint8 [h, w, 3] of any size, or None for text alone. CLIP sees it squashed to a square, as published. The
    network is given its meaning only, not its pixels: no frame is the picture itself. height, width: pixels, whole
    numbers of latents. fps: how fast things move; a frame lasts as long as a player makes it. Published: 50 steps,
    guidance 12, eta 1, and 8 frames a second with a picture or 28 without one.
    """

    prompt: str
    height: int
    width: int
    seed: int
    image: np.ndarray | None = None
    negative_prompt: str = ""
    fps: float = 8
    steps: int = 50
    guidance_scale: float = 12.0
    eta: float = 1.0
    index: int = 0

    def noise(self, shape: tuple[int, ...], step: int) -> Tensor:
        """[1, *shape]: what sampling starts from, at `noise.INITIAL`, or what a step draws."""
        drawn = noise.gaussian(shape, seed=self.seed, stage="videocrafter", index=self.index, step=step)
        return drawn.unsqueeze(0)


@torch.no_grad()
def draw(parts: VideoCrafterPipeline, clip: Clip, on_step: OnStep = ignore) -> np.ndarray:
    """uint8 [F, H, W, 3], with as many frames as the network was trained on. What `on_step` raises passes through.

    Raises `ValueError` for a size that is no whole number of latents, and for a picture that the network cannot read.
    """
    config, side = parts.unet.config, parts.pixels_per_latent
    if clip.height % side or clip.width % side:
        raise ValueError(f"The size is {clip.width}x{clip.height}; both sides are multiples of {side}.")
    shape = (config.in_channels, config.num_frames, clip.height // side, clip.width // side)

    def drawn(step: int) -> Tensor:
        return clip.noise(shape, step).to(parts.device)

    denoise, start = denoiser(parts, clip), drawn(noise.INITIAL)
    latents = sample(denoise, start, parts.schedule, drawn, steps=clip.steps, eta=clip.eta, on_step=on_step)
    return pixels.decode(parts.vae, latents[0], batch=8)


def denoiser(parts: VideoCrafterPipeline, clip: Clip) -> Denoise:
    """The network under guidance; what is constant over its steps is computed here.

    Both branches are one batch; published they are evaluated one after the other. The published "temporal guidance" has
    no effect there, and is left out.
    """
    scale, unet = clip.guidance_scale, parts.unet
    names = branches(scale, scale)
    text = read(parts, clip, names)
    context = attended(parts, clip, names, text)
    pooled = text.pooled if unet.config.layout else None
    fps = torch.full((len(names),), float(clip.fps), device=parts.device)

    def denoise(latents: Tensor, t: int) -> Tensor:
        batch = latents.to(unet.dtype).expand(len(names), -1, -1, -1, -1)
        made = unet(batch, t, context, timestep_cond=fps, pooled=pooled).sample
        return guide(made.float().split(1), scale, scale)

    return denoise


def read(parts: VideoCrafterPipeline, clip: Clip, names: tuple[str, ...]) -> EncodedText:
    """The text of each branch: that guided away from reads the negative prompt."""
    prompts = {"null": clip.negative_prompt, "full": clip.prompt}
    words = parts.tokenizer.model_max_length
    return encode(parts.tokenizer, parts.text_encoder, [prompts[name] for name in names], words)


def attended(parts: VideoCrafterPipeline, clip: Clip, names: tuple[str, ...], text: EncodedText) -> Context:
    """Text and picture for each branch. As published, that guided away from sees mid-grey."""
    if clip.image is None:
        return parts.unet.context(text.tokens)
    if not parts.unet.config.image_attention:
        raise ValueError("This VideoCrafter reads no pictures: it makes videos from text alone.")
    picture = torch.from_numpy(np.ascontiguousarray(clip.image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    pictures = {"null": torch.zeros(1, 3, 1, 1).expand_as(picture), "full": picture}
    tokens = image_tokens(parts, torch.cat([pictures[name] for name in names]))
    return parts.unet.image_context(text.tokens, tokens)


def image_tokens(parts: VideoCrafterPipeline, pictures: Tensor) -> Tensor:
    """Pictures [B, 3, h, w] in [-1, 1] -> image tokens [B, N, D], from all of CLIP's patches before its last norm."""
    encoder = parts.image_encoder
    shown = clip_pixels(pictures, encoder.config.image_size)
    device = get_parameter_device(encoder)  # where it computes, also if its weights are off
    patches = encoder(shown.to(device, encoder.dtype)).last_hidden_state
    tokens: Tensor = parts.image_projection(patches)
    return tokens
