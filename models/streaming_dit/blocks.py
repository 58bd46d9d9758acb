"""The walk through the blocks of Wan's transformer (arXiv 2503.20314), shared by the main network and by CAM's copy.

Its cross-attentions read a `Context`, so that keys and values of prompt and anchor are made once for all steps. Owns
how tokens become features of frames and back; the layers are diffusers'. Knows nothing of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from torch import Tensor

from models.streaming_t2v.context import Context
from models.streaming_t2v.encoder import COORDINATE_CHANNELS, coordinate_planes, each

Attend = Callable[[Tensor], Tensor]  # tokens [B, N, C'] -> what they find, [B, N, C']


class VideoTransformer(WanTransformer3DModel):  # type: ignore[misc]
    """WanTransformer3DModel whose cross-attentions read a `Context`, and that gives its features after each block.

    `coordinates` adds planes with the frame's number and the place to the input, as for the small UNet; Wan's own knows
    them by its rotary embedding alone. Use a subclass.
    """

    def _build(self, coordinates: bool, **network: Any) -> None:
        """Make the layers, by diffusers' constructor without its record of the arguments: a subclass keeps its own."""
        planes = COORDINATE_CHANNELS * coordinates
        latent_channels = network.pop("in_channels")
        WanTransformer3DModel.__init__.__wrapped__(
            self, in_channels=latent_channels + planes, out_channels=latent_channels, **network
        )
        self.coordinates = coordinates

    def context(self, text_tokens: Tensor) -> Context:
        """K and V of text tokens [B, T, D] for every block; constant over steps and frames."""
        return self._context([text_tokens] * len(self.blocks))

    def _context(self, tokens: Sequence[Tensor]) -> Context:
        """K and V of each block's own tokens [B, T, D]."""
        pairs = []
        for block, given in zip(self.blocks, tokens, strict=True):
            read = self.condition_embedder.text_embedder(given)
            keys = block.attn2.norm_k(block.attn2.to_k(read))
            pairs.append([_split(made, block.attn2.heads) for made in (keys, block.attn2.to_v(read))])
        keys, values = zip(*pairs, strict=True)
        return Context(keys, values)

    def _walk(self, sample: Tensor, timestep: Tensor | float, context: Context, first: Tensor | None = None) -> Walk:
        """Begin with latents [S, C, F, H, W], each for as many samples of the context as follow one another.

        first: features to be added to the embedded latents, [S*F, C', h, w], or as many as the context's samples.
        """
        batch, frames = context.batch, sample.shape[2]
        rotary = self.rope(sample)
        if self.coordinates:
            numbers = torch.arange(frames, device=sample.device)[None].expand(len(sample), -1)
            sample = torch.cat([sample, coordinate_planes(numbers, *sample.shape[3:]).to(sample)], dim=1)
        x = each(self.patch_embedding(sample), batch)  # [B, C', F, h, w]
        size = tuple(x.shape[2:])
        if first is not None:
            x = x + each(first.unflatten(0, (-1, frames)), batch).transpose(1, 2)
        steps = each(torch.as_tensor(timestep, device=x.device).reshape(-1), batch)
        time, shifts = times_of(self, steps, x.dtype)
        return Walk(x.flatten(2).transpose(1, 2), size, time, shifts, context, rotary)

    def _pass(self, walk: Walk) -> Iterator[int]:
        """Go through the blocks, one each time; yields the number of the one that has been passed."""
        for number, block in enumerate(self.blocks):
            look = partial(block.attn1, encoder_hidden_states=None, attention_mask=None, rotary_emb=walk.rotary)
            read = partial(read_context, block.attn2, walk.context, number)
            walk.tokens = pass_block(block, walk.tokens, walk.shifts, look, read)
            yield number


class Walk:
    """Where a forward pass is. tokens: [B, F*h*w, C']. size: F, h, w. time, shifts: see `times_of`."""

    def __init__(
        self,
        tokens: Tensor,
        size: tuple[int, ...],
        time: Tensor,
        shifts: Tensor,
        context: Context,
        rotary: tuple[Tensor, Tensor],
    ):
        self.tokens, self.size, self.time, self.shifts = tokens, size, time, shifts
        self.context, self.rotary = context, rotary

    def features(self) -> Tensor:
        """The tokens as features of every frame, [B*F, C', h, w]."""
        return self.tokens.unflatten(1, self.size).permute(0, 1, 4, 2, 3).flatten(0, 1)

    def replace(self, features: Tensor) -> None:
        """Go on with these features of every frame, [B*F, C', h, w]."""
        self.tokens = features.unflatten(0, (-1, self.size[0])).permute(0, 1, 3, 4, 2).flatten(1, 3)


def pass_block(block: Any, x: Tensor, shifts: Tensor, look: Attend, read: Attend) -> Tensor:
    """Tokens [B, N, C'] through one block, modulated by time, [B, 6, C'].

    look: at other places and frames (self-attention). read: the prompt (cross-attention).
    """
    dtype = x.dtype
    shift, scale, gate, shift_after, scale_after, gate_after = (block.scale_shift_table + shifts.float()).chunk(
        6, dim=1
    )
    seen = (block.norm1(x.float()) * (1 + scale) + shift).to(dtype)
    x = (x.float() + look(seen) * gate).to(dtype)
    x = x + read(block.norm2(x.float()).to(dtype))
    seen = (block.norm3(x.float()) * (1 + scale_after) + shift_after).to(dtype)
    return (x.float() + block.ffn(seen).float() * gate_after).to(dtype)


def times_of(network: Any, steps: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Timesteps [B] -> their embedding [B, C'] and what modulates each block, [B, 6, C']."""
    embedder = network.condition_embedder
    time = embedder.time_embedder(embedder.timesteps_proj(steps).to(dtype))
    return time, embedder.time_proj(embedder.act_fn(time)).unflatten(1, (6, -1))


def latents_of(network: Any, x: Tensor, size: Sequence[int], time: Tensor) -> Tensor:
    """Tokens [B, F*h*w, C'] that have passed all blocks -> latents [B, C, F, H, W]."""
    shift, scale = (network.scale_shift_table + time.unsqueeze(1)).chunk(2, dim=1)
    out = network.proj_out((network.norm_out(x.float()) * (1 + scale) + shift).to(x.dtype))
    out = out.unflatten(2, (*network.config.patch_size, -1)).unflatten(1, tuple(size))
    out = out.permute(0, 7, 1, 4, 2, 5, 3, 6)  # [B, C, F, p_t, h, p_h, w, p_w]
    return out.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def read_context(attention: Any, context: Context, number: int, x: Tensor) -> Tensor:
    """Cross-attention of tokens [B, N, C'] to the context's keys and values of this block."""
    q = _split(attention.norm_q(attention.to_q(x)), attention.heads)
    mixed = F.scaled_dot_product_attention(q, context.keys[number].to(q), context.values[number].to(q))
    out: Tensor = attention.to_out[0](mixed.transpose(1, 2).flatten(2))
    return out


def _split(x: Tensor, heads: int) -> Tensor:  # [B, T, C] -> [B, heads, T, d]
    return x.unflatten(2, (heads, -1)).transpose(1, 2)
