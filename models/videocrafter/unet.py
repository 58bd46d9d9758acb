"""VideoCrafterUNet3D: the video diffusion network of VideoCrafter1, for text-to-video and for image-to-video.

Source: VideoCrafter1 (arXiv 2310.19512) section 3; the layers are diffusers' UNet3DConditionModel. Owns where it
differs from that; knows nothing of schedules, guidance or pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 - where diffusers looks for how to load a class
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor, nn

from models.streaming_t2v.cam import Memory
from models.streaming_t2v.context import Context
from models.streaming_t2v.unet import Deep, StreamingUNet3D
from models.videocrafter.attention import DistanceAttention, DualContextAttention, side_by_side

EIGHTHS = 8  # of a second; what coordinates count time in


class VideoCrafterUNet3D(StreamingUNet3D):
    """UNet3DConditionModel that also hears how many frames a second has and, for image-to-video, what a picture shows.

    sample_size: rows and columns of the latents it was trained on. num_frames: how many frames, too.
    fps_conditioning: the frames a second stand beside the timestep: `forward` takes them as `timestep_cond`, [B] or
    one number. image_attention: every spatial cross-attention has a second pair of matrices, for image tokens.
    distances: how far temporal attention tells frames apart, None where it does not. temporal_convolutions: whether
    residual layers are followed by convolutions over time. coordinates, layout: see `VideoEncoder`; False as published.
    With them a frame's number is its time, in eighths of a second: they tell the frames a second as well. Without them
    the network hears of that by the embedding alone. `forward` takes the pooled text that the layout is of as `pooled`.

    Published are four: text-to-video at 512 pixels (distances 16, no fps, no temporal convolutions) and at 1024 (the
    same with fps); image-to-video at 512 (fps, temporal convolutions, image attention); and VideoCrafter2, which is the
    last without image attention. The paper describes the fps for all of them, and neither distances nor convolutions.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: Sequence[int] = (40, 64),
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: Sequence[str] = ("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
        up_block_types: Sequence[str] = ("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 3,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 1024,
        attention_head_dim: int = 64,
        num_frames: int = 16,
        fps_conditioning: bool = True,
        image_attention: bool = False,
        distances: int | None = None,
        temporal_convolutions: bool = True,
        coordinates: bool = False,
        layout: bool = False,
    ):
        network = {
            "sample_size": tuple(sample_size),
            "in_channels": in_channels,
            "out_channels": out_channels,
            "down_block_types": down_block_types,
            "up_block_types": up_block_types,
            "block_out_channels": block_out_channels,
            "layers_per_block": layers_per_block,
            "norm_num_groups": norm_num_groups,
            "cross_attention_dim": cross_attention_dim,
            "attention_head_dim": attention_head_dim,
            "coordinates": coordinates,
            "layout": layout,
        }
        StreamingUNet3D.__init__.__wrapped__(self, **network, cam=False, apm=False)
        width = block_out_channels[0]
        self.fps_embedding = TimestepEmbedding(width, 4 * width) if fps_conditioning else None
        self._attend(image_attention)
        if distances is not None:
            self._tell_distances(distances, attention_head_dim)
        if not temporal_convolutions:
            for block in (*self.down_blocks, self.mid_block, *self.up_blocks):
                block.temp_convs = nn.ModuleList(Unmoved() for _ in block.temp_convs)

    def image_context(self, text_tokens: Tensor, image_tokens: Tensor) -> Context:
        """K and V of text tokens [B, T, D] and of image tokens [B, N, D] beside them (section 3.2 of arXiv 2310.19512).

        For networks with `image_attention`, which read a `context` of the text alone as well.
        """
        image = zip(self.cross_attentions(), self.image_keys, self.image_values, strict=True)
        pairs = [
            tuple(layer(image_tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for layer in layers)
            for attn, *layers in image
        ]
        keys, values = zip(*pairs, strict=True)
        return side_by_side(self.context(text_tokens), Context(keys, values))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Context | Tensor,
        timestep_cond: Tensor | float | None = None,
        memory: Memory | None = None,
        frame_numbers: Tensor | None = None,
        lay_out: Tensor | None = None,
        known: Tensor | None = None,
        pooled: Tensor | None = None,
        deep: Deep | None = None,
    ) -> UNet3DConditionOutput:
        """Predict noise (or velocity) for latents [B, C, F, H, W], as `StreamingUNet3D` does; it has no memory.

        timestep_cond: frames a second, [B] or one number. frame_numbers: times [B, F] in eighths of a second, where
        they are not those of F frames from 0 on.
        """
        fps = None if timestep_cond is None else torch.as_tensor(timestep_cond, device=sample.device)
        if self.coordinates and frame_numbers is None:
            frame_numbers = moments(sample.shape[2], self._rates(sample, fps))
        return super().forward(
            sample, timestep, encoder_hidden_states, fps, memory, frame_numbers, lay_out, known, pooled, deep
        )

    def _attend(self, image_attention: bool) -> None:
        attentions = self.cross_attentions()
        for layer, attention in enumerate(attentions):
            attention.set_processor(DualContextAttention(layer, len(attentions)))
        if image_attention:
            shapes = [(attention.to_k.in_features, attention.to_k.out_features) for attention in attentions]
            self.image_keys, self.image_values = (
                nn.ModuleList(nn.Linear(*shape, bias=False) for shape in shapes) for _ in "KV"
            )

    def _tell_distances(self, reach: int, head_dim: int) -> None:
        """In both self-attentions of every temporal transformer, that at the input among them."""
        for transformer in [module for module in self.modules() if isinstance(module, TransformerTemporalModel)]:
            for block in transformer.transformer_blocks:
                block.attn1.set_processor(DistanceAttention(reach, head_dim))
                block.attn2.set_processor(DistanceAttention(reach, head_dim))

    def _time(self, sample: Tensor, timestep: Tensor | float, timestep_cond: Tensor | float | None) -> Tensor:
        """Timestep and frames a second -> the sum of their embeddings for every frame, [B*F, 4C]."""
        embedding = super()._time(sample, timestep, None)
        if self.fps_embedding is None:
            return embedding
        beside = self.fps_embedding(self.time_proj(self._rates(sample, timestep_cond)).to(sample.dtype))
        return embedding + beside.repeat_interleave(sample.shape[2], dim=0)

    def _rates(self, sample: Tensor, fps: Tensor | float | None) -> Tensor:
        if fps is None:
            raise ValueError("This network is conditioned on the frames a second: give them as timestep_cond.")
        return torch.as_tensor(fps, device=sample.device).reshape(-1).expand(sample.shape[0])


def moments(frames: int, fps: Tensor) -> Tensor:
    """When so many frames are, in eighths of a second from the first on; rates [B] -> [B, F]."""
    return torch.arange(frames, device=fps.device) * EIGHTHS / fps[:, None]


class Unmoved(nn.Module):
    """Where a network has no convolution over time: what comes in goes out."""

    def forward(self, x: Tensor, num_frames: int = 1) -> Tensor:  # [B*F, C, H, W]
        return x
