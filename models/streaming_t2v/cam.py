"""Conditional Attention Module (CAM): short-term memory, the last 8 frames of what was made.

Source: StreamingT2V (arXiv 2403.14773) section 4.1, Eq. 4 and 5. Owns the feature extractor (with E_cond) and the
injectors; knows nothing of sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 - where diffusers looks for how to load a class
from torch import Tensor, nn

from models import kernels
from models.streaming_t2v.context import Context
from models.streaming_t2v.encoder import VideoEncoder, spread


@dataclass(frozen=True, slots=True)
class Memory:
    """What CAM hands to the injectors at one denoising step: features of the conditioning frames.

    skips: one a long-range skip of the main network, [B*F_cond, C, H, W]; middle: the mid block's output, None where
    only the first level was asked for. In the baseline Add-Cond they are of all F frames.
    """

    skips: tuple[Tensor, ...]
    middle: Tensor | None


class FrameEmbedding(nn.Module):
    """E_cond: conditioning frames in pixels -> features at the size of the latents; the last layer starts at zero.

    Published without norms, though the paper names layer norms; `layer_norm` puts them in (size-independent here).
    """

    def __init__(self, out_channels: int, channels: Sequence[int], *, layer_norm: bool, in_channels: int = 3):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for width, wider in zip(channels, channels[1:], strict=False):
            self.blocks.append(nn.Conv2d(width, width, 3, padding=1))
            self.blocks.append(nn.Conv2d(width, wider, 3, padding=1, stride=2))
        widths = [conv.out_channels for conv in (self.conv_in, *self.blocks)]
        self.norms = nn.ModuleList(nn.GroupNorm(1, w) if layer_norm else nn.Identity() for w in widths)
        self.conv_out = nn.Conv2d(channels[-1], out_channels, 3, padding=1)
        for weight in self.conv_out.parameters():
            nn.init.zeros_(weight)

    def forward(self, frames: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> [N, C, H/8, W/8]."""
        for conv, norm in zip((self.conv_in, *self.blocks), self.norms, strict=True):
            frames = F.silu(norm(conv(frames)))
        features: Tensor = self.conv_out(frames)
        return features


class ConditionalAttentionModule(VideoEncoder):
    """CAM's feature extractor: a trainable copy of the main network's input side, with E_cond added to its input.

    It reads the *noisy* latents of the first 8 frames at every step; only `embed` (E_cond) is constant over steps.
    Its features leave it raw (the published zero convolutions are identities) and enter through `Injector`s.

    padded: the extractor of the paper's baseline Add-Cond (section 5.3) instead: the conditioning frames are padded
    with zeros to `num_frames`, with a fourth channel that says which are known, and all frames are read.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 4,
        down_block_types: Sequence[str] = ("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 1024,
        attention_head_dim: int = 64,
        time_cond_proj_dim: int | None = None,
        coordinates: bool = False,
        num_conditioning_frames: int = 8,
        padded: bool = False,
        num_frames: int = 16,
        embedding_channels: Sequence[int] = (32, 96, 256, 512),
        embedding_layer_norm: bool = False,
    ):
        self._build(
            coordinates,
            sample_size=sample_size,
            in_channels=in_channels,
            down_block_types=tuple(down_block_types),
            up_block_types=("UpBlock3D",) * len(down_block_types),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=attention_head_dim,
            time_cond_proj_dim=time_cond_proj_dim,
        )
        del self.up_blocks, self.conv_norm_out, self.conv_out
        self.frame_embedding = FrameEmbedding(
            block_out_channels[0], embedding_channels, layer_norm=embedding_layer_norm, in_channels=3 + padded
        )
        kernels.speed_up(self)

    @property
    def _frames_read(self) -> int:
        frames: int = self.config.num_frames if self.config.padded else self.config.num_conditioning_frames
        return frames

    def embed(self, conditioning_frames: Tensor) -> Tensor:
        """E_cond of frames [B, F_cond, 3, H, W] in [-1, 1] -> [B*F_cond, C, h, w]; once a chunk."""
        if self.config.padded:
            known = F.pad(conditioning_frames, (0, 0, 0, 0, 0, 1), value=1.0)  # the mask as a fourth channel
            missing = self.config.num_frames - known.shape[1]
            conditioning_frames = F.pad(known, (0, 0, 0, 0, 0, 0, 0, missing))
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
        """Noisy latents [B, C, F, h, w] (the first F_cond frames are read) -> `Memory`; shallow: of the first level.

        Latents and embedded frames may be given once for several samples of the context, as to `StreamingUNet3D`.
        """
        frames = self._frames_read
        sample = sample[:, :, :frames]
        time = self._time(sample, timestep, timestep_cond)
        x = self._input(sample) + embedded_frames
        skips = self._down(x, time, context, frames, 1 if shallow else None)
        if shallow:
            return Memory(tuple(skips), None)
        return Memory(tuple(skips), self._mid(skips[-1], spread(time, len(skips[-1]), frames), context, frames))


class VideoNorm(nn.GroupNorm):
    """GroupNorm over all frames of a video [B, C, F, H, W].

    The affine part by hand: torch's CPU GroupNorm backward crashes on an input that needs no gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = F.group_norm(x.contiguous(), self.num_groups, eps=self.eps)
        return x * self.weight.view(1, -1, 1, 1, 1) + self.bias.view(1, -1, 1, 1, 1)


class Injector(nn.Module):
    """One long-range skip attends to CAM's features, place by place (Eq. 5): x + P_out(T-MHA(Q(x), K(m), V(m))).

    T-MHA runs over frames: F queries, F_cond keys, no mask and no frame positions. P_out starts at zero, so a fresh
    injector leaves the skip as it is.
    """

    def __init__(self, channels: int, head_dim: int, norm_num_groups: int):
        super().__init__()
        self.heads = channels // head_dim
        self.norm = VideoNorm(norm_num_groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.Linear(channels, channels)
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, skip: Tensor, memory: Tensor, batch: int) -> Tensor:
        """skip [B*F, C, H, W], memory [B*F_cond, C, H, W] -> [B*F, C, H, W]."""
        x = self.norm(skip.unflatten(0, (batch, -1)).transpose(1, 2))  # [B, C, F, H, W]
        q = self._split(self.to_q(self.proj_in(_by_place(x))))
        m = _by_place(memory.unflatten(0, (batch, -1)).transpose(1, 2))
        mixed = F.scaled_dot_product_attention(q, self._split(self.to_k(m)), self._split(self.to_v(m)))
        out = self.proj_out(self.to_out(mixed.transpose(1, 2).flatten(2)))  # [B*H*W, F, C]
        height, width = skip.shape[-2:]
        out = out.unflatten(0, (batch, height, width)).permute(0, 3, 4, 1, 2)  # [B, F, C, H, W]
        return skip + out.flatten(0, 1)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Addition(nn.Module):
    """Add-Cond's injector: the skip, plus CAM's features of the same frame through a zero convolution."""

    def __init__(self, channels: int, head_dim: int, norm_num_groups: int):
        super().__init__()
        self.zero_conv = nn.Conv2d(channels, channels, kernel_size=1)
        for weight in self.zero_conv.parameters():
            nn.init.zeros_(weight)

    def forward(self, skip: Tensor, memory: Tensor, batch: int) -> Tensor:
        """skip and memory [B*F, C, H, W] -> [B*F, C, H, W]."""
        added: Tensor = skip + self.zero_conv(memory)
        return added


INJECTORS: dict[str, type[Injector] | type[Addition]] = {"attention": Injector, "addition": Addition}


def _by_place(x: Tensor) -> Tensor:
    """[B, C, F, H, W] -> [B*H*W, F, C]."""
    return x.permute(0, 3, 4, 2, 1).flatten(0, 2)
