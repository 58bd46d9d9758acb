"""Appearance Preservation Module (APM): long-term memory, an anchor frame that every chunk sees.

Source: StreamingT2V (arXiv 2403.14773) section 4.2, Eq. 6 and 7. Owns the anchor's tokens and their mixing with the
text; knows nothing of the UNet around them.
"""

from __future__ import annotations

import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, cat, nn, zeros


class AppearancePreservationModule(ModelMixin, ConfigMixin):
    """Anchor embedding -> image tokens: a two-layer perceptron on the pooled CLIP embedding of the anchor frame."""

    @register_to_config
    def __init__(
        self,
        embedding_dim: int = 1024,
        hidden_dim: int = 1280,
        num_image_tokens: int = 16,
        token_dim: int = 1024,
    ):
        super().__init__()
        self.token_shape = (num_image_tokens, token_dim)
        self.linear_1 = nn.Linear(embedding_dim, hidden_dim)
        self.linear_2 = nn.Linear(hidden_dim, num_image_tokens * token_dim)

    def forward(self, anchor_embedding: Tensor) -> Tensor:
        """Pooled image embedding [B, E] -> image tokens [B, 16, D]."""
        tokens: Tensor = self.linear_2(F.silu(self.linear_1(anchor_embedding)))
        return tokens.unflatten(1, self.token_shape)


class AnchorMixer(nn.Module):
    """The projection block of one cross-attention: x_cross = x_text + SiLU(alpha) * LN(Conv1d([x_text, x_image])).

    The convolution slides along the features; the tokens are its channels. alpha starts at 0, so that a fresh mixer
    leaves the text as it is (Eq. 7).
    """

    def __init__(self, num_text_tokens: int, num_image_tokens: int, token_dim: int):
        super().__init__()
        self.alpha = nn.Parameter(zeros(()))
        self.conv = nn.Conv1d(num_text_tokens + num_image_tokens, num_text_tokens, kernel_size=3, padding=1)
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, text_tokens: Tensor, image_tokens: Tensor) -> Tensor:
        """[B, T, D] and [B, N, D] -> [B, T, D]."""
        mixed = self.norm(self.conv(cat([text_tokens, image_tokens], dim=1)))
        return text_tokens + F.silu(self.alpha) * mixed
