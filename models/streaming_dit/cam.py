"""Conditional Attention Module of the transformer: short-term memory, the last 8 frames of what was made.

Source: StreamingT2V (arXiv 2403.14773) section 4.1. A trainable copy of the transformer's first blocks reads the
conditioning frames; each block's features enter one of the main network's last blocks. Knows nothing of sampling.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 - where diffusers looks for how to load a class
from torch import Tensor

from models.streaming_dit.blocks import VideoTransformer
from models.streaming_t2v.cam import FrameEmbedding, Memory
from models.streaming_t2v.context import Context


class ConditionalAttentionTransformer(VideoTransformer):
    """Reads the noisy latents of the first frames at every step, with E_cond of the clean ones added to them.

    embedding_channels: of E_cond, halved in size after each but the first, down to the size of the tokens' grid.
    """

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 6,
        attention_head_dim: int = 32,
        in_channels: int = 4,
        text_dim: int = 64,
        freq_dim: int = 64,
        ffn_dim: int = 768,
        num_layers: int = 4,
        coordinates: bool = False,
        num_conditioning_frames: int = 8,
        embedding_channels: Sequence[int] = (16, 32, 48, 64, 96),
    ):
        self._build(
            coordinates,
            patch_size=tuple(patch_size),
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            text_dim=text_dim,
            freq_dim=freq_dim,
            ffn_dim=ffn_dim,
            num_layers=num_layers,
        )
        del self.norm_out, self.proj_out, self.scale_shift_table
        width = num_attention_heads * attention_head_dim
        self.frame_embedding = FrameEmbedding(width, embedding_channels, layer_norm=False)

    def embed(self, conditioning_frames: Tensor) -> Tensor:
        """E_cond of frames [B, F_cond, 3, H, W] in [-1, 1] -> [B*F_cond, C', h, w]; once a chunk."""
        features: Tensor = self.frame_embedding(conditioning_frames.flatten(0, 1))
        return features

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        context: Context,
        embedded_frames: Tensor,
        timestep_cond: Tensor | None = None,
        shallow: bool = False,
    ) -> Memory:
        """Noisy latents [B, C, F, H, W] (the first F_cond frames are read) -> features after each block.

        shallow: of the first block only.
        """
        walk = self._walk(sample[:, :, : self.config.num_conditioning_frames], timestep, context, embedded_frames)
        features = []
        for _ in self._pass(walk):
            features.append(walk.features())
            if shallow:
                break
        return Memory(tuple(features), None)
