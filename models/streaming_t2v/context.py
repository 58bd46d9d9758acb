"""What the spatial cross-attentions read: keys and values of the text (and anchor), computed once for all steps.

The prompt and the anchor are constant over denoising steps and frames, so each layer's K and V are too. A `Context`
holds them; `ContextAttention` reads them. Knows nothing of how tokens are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Context:
    """K and V of every spatial cross-attention, in the order of the network's layers; each [B, heads, T, d]."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def batch(self) -> int:
        return self.keys[0].shape[0]

    @staticmethod
    def of_all(contexts: Sequence[Context]) -> Context:
        """Several as one batch."""
        keys = zip(*(context.keys for context in contexts), strict=True)
        values = zip(*(context.values for context in contexts), strict=True)
        return Context(tuple(map(torch.cat, keys)), tuple(map(torch.cat, values)))


def project(attention: Attention, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """K and V, [B, heads, T, d], of context tokens [B, T, D] for one cross-attention."""
    k, v = attention.to_k(tokens), attention.to_v(tokens)
    shape = (tokens.shape[0], tokens.shape[1], attention.heads, -1)
    return k.view(shape).transpose(1, 2), v.view(shape).transpose(1, 2)


class ContextAttention:
    """Attention processor of spatial cross-attention number `layer`.

    All frames of a sample read the same context, so their queries stand in one row: [B, heads, F*H*W, d].
    """

    def __init__(self, layer: int):
        self.layer = layer

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Context,
        attention_mask: None = None,
    ) -> Tensor:
        batch, _, _, width = encoder_hidden_states.keys[self.layer].shape
        frames, places, _ = hidden_states.shape  # [B*F, H*W, C]
        q = attn.to_q(hidden_states).view(batch, -1, attn.heads, width).transpose(1, 2)
        mixed = self.read(q, encoder_hidden_states).transpose(1, 2).reshape(frames, places, -1)
        out: Tensor = attn.to_out[0](mixed)
        return out

    def read(self, q: Tensor, context: Context) -> Tensor:
        """What queries [B, heads, F*H*W, d] find in the context."""
        return F.scaled_dot_product_attention(q, context.keys[self.layer], context.values[self.layer])
