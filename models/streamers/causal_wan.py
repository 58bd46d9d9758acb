"""Causal Wan as the streamer: a chunk looks at the clear latents before it, and they never at it.

Source: CausVid (arXiv 2412.07772) and Self-Forcing (arXiv 2506.08009): a block of latents is denoised in a few steps,
each to a clear prediction that is noised again to the next level, with the keys and values of what is clear kept. Those
are not handed over: they would be gigabytes. They are computed anew from the last latents, once a chunk, block by block
as they came about, so that the state stays small and a window that has moved on leaves nothing stale behind. LongLive's
sink (arXiv 2509.22622) keeps the video's first latents in view. Owns the loop and the state.

The state: `latents`, the last ones, float32 [1, C, K, h, w], zeros where there were none yet; `sink`, the first ones,
[1, C, S, h, w].
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models import noise
from models.request import Brief
from models.streamers import causal_vae
from models.streamers.streamer import State
from models.streaming_dit.blocks import latents_of, pass_block, times_of
from models.streaming_t2v.sampler import OnStep
from models.units import Unit

STAGE = "causal-wan"
MAX_TOKENS = 512


class CausalWan:
    """pipeline: a `WanPipeline` with a causal network. Nothing of it is changed."""

    def __init__(self, pipeline: Any, brief: Brief):
        self._pipeline, self._brief, options = pipeline, brief, brief.options
        self._block, self._window, self._sink = (
            int(options[name]) for name in ("latents_per_chunk", "window_latents", "sink_latents")
        )
        self._context = int(options["vae_context"]) or causal_vae.looks_back(pipeline.vae)
        self._factor = pipeline.vae_scale_factor_temporal

    @torch.no_grad()
    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """The first block, from nothing."""
        size, side = self._brief.model.size, self._pipeline.vae_scale_factor_spatial
        channels = self._pipeline.transformer.config.in_channels
        nothing = torch.zeros(1, channels, 0, size.height // side, size.width // side)
        return self._made(0, 0, nothing, nothing, on_step)

    @torch.no_grad()
    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        """The next block, all of it new."""
        there = unit.index * self._block
        past = before["latents"][:, :, max(0, self._kept - there) :]
        return self._made(unit.index, unit.first_frame, past, before["sink"][:, :, :there], on_step)

    def _made(
        self, index: int, first_frame: int, past: Tensor, sink: Tensor, on_step: OnStep
    ) -> tuple[np.ndarray, State]:
        new = self.denoised(index, first_frame, self._seen(index, past, sink), on_step)
        frames = self.decoded(new, past)
        return causal_vae.as_bytes(frames), self._left(torch.cat([past, new], dim=2), torch.cat([sink, new], dim=2))

    def _seen(self, index: int, past: Tensor, sink: Tensor) -> Tensor:
        """The clear latents that block `index` looks at: the sink where the window has left it behind, and that."""
        window = past[:, :, max(0, past.shape[2] - self._window) :]
        gone = max(0, index * self._block - window.shape[2])
        return torch.cat([sink[:, :, : min(self._sink, gone)], window], dim=2)

    @torch.no_grad()
    def denoised(self, index: int, first_frame: int, seen: Tensor, on_step: OnStep) -> Tensor:
        """The latents of a block, float32 [1, C, F, h, w] on the CPU, after the clear ones that it looks at."""
        network, request = self._pipeline.transformer, self._brief.request
        text = network.condition_embedder.text_embedder(self._text(first_frame))
        shape = (1, seen.shape[1], self._block, *seen.shape[3:])
        draw = partial(noise.gaussian, shape, seed=request.seed_at(first_frame), stage=STAGE, index=index)
        past = Past()
        for known in seen.split(self._block, dim=2) if seen.shape[2] else ():
            asked(network, known.to(network.device), 0.0, text, past, keep=True)
        x, levels = draw().to(network.device), self._levels(request.steps)
        for step, level in enumerate(levels):
            clear = x - level * asked(network, x, 1000 * level, text, past)
            following = levels[step + 1] if step + 1 < len(levels) else 0.0
            grain = draw(step=step).to(network.device) if following else 0.0
            x = (1 - following) * clear + following * grain
            on_step(step + 1, len(levels))
        return x.cpu()

    def decoded(self, new: Tensor, past: Tensor) -> Tensor:
        """The frames of new latents, float32 [1, 3, F, H, W] in -1..1, after those before them."""
        again = past[:, :, max(0, past.shape[2] - self._context) :]
        frames, _ = causal_vae.decode(self._pipeline.vae, torch.cat([again, new], dim=2), skip=again.shape[2])
        return frames

    def _levels(self, steps: int) -> list[float]:
        """Shares of noise, from all of it down, moved towards noise: 1000, 938, 833 and 625 thousandths of 4 steps."""
        shift = float(self._brief.options["shift"])
        even = [1 - step / steps for step in range(steps)]
        return [shift * level / (1 + (shift - 1) * level) for level in even]

    def _text(self, first_frame: int) -> Tensor:
        """[1, MAX_TOKENS, D]."""
        network = self._pipeline.transformer
        told, _ = self._pipeline.encode_prompt(
            self._brief.caption(first_frame), None, False, max_sequence_length=MAX_TOKENS
        )
        return told.to(network.device, network.dtype)

    @property
    def _kept(self) -> int:
        return max(self._window, self._context)

    def _left(self, latents: Tensor, first: Tensor) -> State:
        return {"latents": _sized(latents, self._kept, at_end=True), "sink": _sized(first, self._sink, at_end=False)}


class Past:
    """Keys and values of the clear latents for every block of the network, rotated to where they stand."""

    def __init__(self) -> None:
        self.tokens = 0
        self.kept: list[tuple[Tensor, Tensor]] = []


def asked(network: Any, latents: Tensor, timestep: float, text: Tensor, past: Past, *, keep: bool = False) -> Tensor:
    """What the network predicts for latents [1, C, F, h, w] that come after `past`, float32; text as it is read.

    keep: they are clear, and part of the past from now on.
    """
    x = network.patch_embedding(latents.to(network.dtype))  # [1, C', F, h', w']
    size, count = tuple(x.shape[2:]), x.shape[2:].numel()
    frames = past.tokens // (size[1] * size[2]) + size[0]
    whole = latents.new_empty(1, 0, frames * network.config.patch_size[0], *latents.shape[3:])
    rotary = [angle[:, -count:].to(x.device) for angle in network.rope(whole)]
    steps = torch.tensor([timestep], device=x.device)
    time, shifts = times_of(network, steps, x.dtype)
    x, kept = x.flatten(2).transpose(1, 2), []
    for number, block in enumerate(network.blocks):
        before = past.kept[number] if past.kept else None
        look = Look(block.attn1, rotary, before)
        read = partial(block.attn2, encoder_hidden_states=text, attention_mask=None, rotary_emb=None)
        x = pass_block(block, x, shifts, look, read)
        kept.append(look.seen)
    if keep:
        past.kept, past.tokens = kept, past.tokens + count
    return latents_of(network, x, size, time).float()


class Look:
    """Self-attention of new tokens to themselves and to those before them."""

    def __init__(self, attention: Any, rotary: list[Tensor], before: tuple[Tensor, Tensor] | None):
        self._attention, self._rotary, self._before = attention, rotary, before
        self.seen: tuple[Tensor, Tensor]  # keys and values of all, [1, heads, N, d]

    def __call__(self, x: Tensor) -> Tensor:  # [1, N, C'] -> [1, N, C']
        attention = self._attention
        q, k = (self._turned(norm(to(x))) for norm, to in self._projections())
        v = self._split(attention.to_v(x))
        if self._before is not None:
            k, v = (torch.cat(pair, dim=2) for pair in zip(self._before, (k, v), strict=True))
        self.seen = k, v
        out: Tensor = attention.to_out[0](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out

    def _projections(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        attention = self._attention
        return (attention.norm_q, attention.to_q), (attention.norm_k, attention.to_k)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self._attention.heads, -1)).transpose(1, 2)

    def _turned(self, x: Tensor) -> Tensor:
        """Rotary embedding (arXiv 2104.09864): neighbouring features are a plane, turned by the place's angle."""
        cos, sin = (angle.transpose(1, 2)[..., ::2] for angle in self._rotary)  # [1, 1, N, d/2]
        one, other = self._split(x).float().unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([one * cos - other * sin, one * sin + other * cos], dim=-1).flatten(-2).to(x.dtype)


def _sized(latents: Tensor, count: int, *, at_end: bool) -> Tensor:
    """So many latents from the end or from the beginning, with zeros in the place of those that are not there."""
    missing = max(0, count - latents.shape[2])
    padded = F.pad(latents, (0, 0, 0, 0, *((missing, 0) if at_end else (0, missing))))
    start = padded.shape[2] - count if at_end else 0
    return padded[:, :, start : start + count].clone()
