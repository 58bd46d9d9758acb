"""StreamingUNet3D: the video diffusion network of StreamingT2V, able to hear CAM and APM.

Source: StreamingT2V (arXiv 2403.14773) section 4; the layers are diffusers' UNet3DConditionModel. Owns the forward
pass; knows nothing of schedules, guidance or chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 - where diffusers looks for how to load a class
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor, nn

from models import kernels
from models.streaming_t2v.apm import AnchorMixer
from models.streaming_t2v.cam import INJECTORS, Memory
from models.streaming_t2v.context import Context, project
from models.streaming_t2v.encoder import VideoEncoder, context_of, skip_channels, spread


class Deep:
    """What all levels but the first made of a step, for the steps after it (`models.turbo`)."""

    features: Tensor | None = None  # [B*F, C, H, W], as the last block of the way up is given them


class StreamingUNet3D(VideoEncoder):
    """UNet3DConditionModel + CAM injectors on its long-range skips (and middle) + APM mixers in its cross-attentions.

    cam, apm: whether it has them; a network without both is a plain text-to-video model.
    mid_injector: CAM also enters after the mid block, as published (the paper names only the skips).
    injection: how CAM's features enter, 'attention' (Eq. 5) or 'addition' (the paper's baseline Add-Cond).
    coordinates, layout, known_planes: see `VideoEncoder`; False as published. The paper's baseline Conc-Cond is a
    network with `known_planes` and without CAM.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: Sequence[str] = ("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
        up_block_types: Sequence[str] = ("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 3,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 1024,
        attention_head_dim: int = 64,
        time_cond_proj_dim: int | None = None,
        coordinates: bool = False,
        layout: bool = False,
        cam: bool = True,
        apm: bool = True,
        mid_injector: bool = True,
        injection: str = "attention",
        known_planes: bool = False,
        num_text_tokens: int = 77,
        num_image_tokens: int = 16,
    ):
        self._build(
            coordinates,
            layout,
            known_planes,
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=tuple(down_block_types),
            up_block_types=tuple(up_block_types),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=attention_head_dim,
            time_cond_proj_dim=time_cond_proj_dim,
        )
        if cam:
            widths = skip_channels(block_out_channels, layers_per_block)
            make = partial(INJECTORS[injection], head_dim=attention_head_dim, norm_num_groups=norm_num_groups)
            self.cam_injectors = nn.ModuleList(make(width) for width in widths)
            self.cam_mid_injector = make(block_out_channels[-1]) if mid_injector else None
        if apm:
            self.apm_mixers = nn.ModuleList(
                AnchorMixer(num_text_tokens, num_image_tokens, cross_attention_dim) for _ in self.cross_attentions()
            )
        kernels.speed_up(self)

    def anchored_context(self, text_tokens: Tensor, image_tokens: Tensor) -> Context:
        """K and V of text mixed with the anchor: [B, T, D] and [B, N, D]; constant over the steps of a chunk."""
        mixed = (mixer(text_tokens, image_tokens) for mixer in self.apm_mixers)
        pairs = [project(attn, tokens) for attn, tokens in zip(self.cross_attentions(), mixed, strict=True)]
        keys, values = zip(*pairs, strict=True)
        return Context(keys, values)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Context | Tensor,
        timestep_cond: Tensor | None = None,
        memory: Memory | None = None,
        frame_numbers: Tensor | None = None,
        lay_out: Tensor | None = None,
        known: Tensor | None = None,
        pooled: Tensor | None = None,
        deep: Deep | None = None,
    ) -> UNet3DConditionOutput:
        """Predict noise (or velocity) for latents [B, C, F, H, W] at a timestep (one, one a sample, or one a frame).

        Where samples that follow one another have the same latents, these may be given once for them, [S, C, F, H, W]
        for a batch that S divides: what does not depend on what is read is then computed once. encoder_hidden_states: a
        `Context` made once, or text tokens [B, T, D]. memory: CAM's features at this step. frame_numbers: [B, F] where
        frames are not 0, 1, 2, … (networks with `coordinates`). lay_out: [B], 0 for samples that are to do without the
        layout (networks with `layout`). known: clean latents of the first frames, [B, C, K, H, W] (networks with
        `known_planes`). pooled: the pooled text [B, D] that the layout is of, where timestep_cond is something else.
        deep: keeps what the deeper levels make; where it has something, that is taken and the first level computed.
        """
        context = encoder_hidden_states
        if isinstance(context, Tensor):
            context = self.context(context)
        batch, frames = context.batch, sample.shape[2]
        time = self._time(sample, timestep, timestep_cond)
        laid_out_by = timestep_cond if pooled is None else pooled
        x = self._input(sample, frame_numbers, laid_out_by, lay_out, known)
        kept = None if deep is None else deep.features
        skips = self._down(x, time, context, frames, None if kept is None else 1)
        time = spread(time, batch * frames, frames)
        x = self._mid(skips[-1], time, context, frames) if kept is None else kept
        if kept is not None:
            skips = skips[: len(self.up_blocks[-1].resnets)]
        if memory is not None:
            injected = zip(self.cam_injectors, skips, memory.skips, strict=kept is None)
            skips = [injector(skip, remembered, batch) for injector, skip, remembered in injected]
            if kept is None and self.cam_mid_injector is not None:
                x = self.cam_mid_injector(x, memory.middle, batch)
        x = self._up(x, skips, time, context, frames, deep)
        return UNet3DConditionOutput(sample=x.unflatten(0, (batch, frames)).transpose(1, 2))

    def _up(
        self, x: Tensor, skips: list[Tensor], time: Tensor, context: Context, frames: int, deep: Deep | None = None
    ) -> Tensor:
        """From the middle, or from what `deep` has kept of the blocks before the last one."""
        *others, last = self.up_blocks
        for block in others if deep is None or deep.features is None else ():
            taken, skips = skips[-len(block.resnets) :], skips[: -len(block.resnets)]
            size = skips[-1].shape[-2:]  # odd sizes: upsample to the size of the next skip
            x = block(x, tuple(taken), time, upsample_size=size, num_frames=frames, **context_of(block, context))
        if deep is not None:
            deep.features = x
        x = last(x, tuple(skips), time, upsample_size=None, num_frames=frames, **context_of(last, context))
        out: Tensor = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return out
