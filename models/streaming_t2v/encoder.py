"""The input side of diffusers' UNet3D, shared by the main network and by CAM's feature extractor.

Owns the walk from noisy latents to skip features and the middle; knows nothing of what is done with them. The branches
of guidance look at the same latents and differ in what they read: given fewer samples of latents than the context has,
each stands for as many that follow one another, and what comes before the first reading is computed once for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet3DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from models.streaming_t2v.context import Context, ContextAttention, project

COORDINATE_CHANNELS = 9


class VideoEncoder(UNet3DConditionModel):
    """UNet3DConditionModel whose spatial cross-attentions read a `Context`.

    `coordinates` adds planes with the frame's number and the place to the input, `layout` a first guess of the video
    (see `Layout`), `known_planes` the latents of the known frames and a mask that says which these are. None of them
    is published. Use a subclass.
    """

    conv_in: nn.Conv2d

    def _build(self, coordinates: bool, layout: bool = False, known_planes: bool = False, **network: Any) -> None:
        """Make the layers, by diffusers' constructor without its record of the arguments: a subclass keeps its own."""
        UNet3DConditionModel.__init__.__wrapped__(self, **network)
        self.coordinates = coordinates
        self.known_planes = known_planes
        old, latent_channels = self.conv_in, network["in_channels"]
        more = COORDINATE_CHANNELS * coordinates + latent_channels * layout + (latent_channels + 1) * known_planes
        if more:
            self.conv_in = nn.Conv2d(latent_channels + more, old.out_channels, kernel_size=3, padding=1)
        text_dim = network["time_cond_proj_dim"] or network["cross_attention_dim"]
        self.layout_network = Layout(text_dim, network["in_channels"]) if layout else None
        for layer, attention in enumerate(self.cross_attentions()):
            attention.set_processor(ContextAttention(layer))

    def cross_attentions(self) -> list[Attention]:
        """The text-reading cross-attentions, in the order of the layers."""
        spatial = [module for module in self.modules() if isinstance(module, Transformer2DModel)]
        return [block.attn2 for transformer in spatial for block in transformer.transformer_blocks]

    def context(self, text_tokens: Tensor) -> Context:
        """K and V of text tokens [B, T, D]; constant over steps and frames."""
        keys, values = zip(*(project(attention, text_tokens) for attention in self.cross_attentions()), strict=True)
        return Context(keys, values)

    def _time(self, sample: Tensor, timestep: Tensor | float, timestep_cond: Tensor | None) -> Tensor:
        """Timestep (one for all samples, one each, or one a frame [B, F]) -> embedding of every frame, [B*F, 4C]."""
        batch = sample.shape[0] if timestep_cond is None else max(sample.shape[0], timestep_cond.shape[0])
        steps = torch.as_tensor(timestep, device=sample.device)
        if steps.ndim == 2:
            cond = None if timestep_cond is None else timestep_cond.repeat_interleave(sample.shape[2], dim=0)
            return self.time_embedding(self.time_proj(steps.flatten()).to(sample.dtype), cond)
        steps = each(steps.reshape(-1), batch)
        embedding = self.time_embedding(self.time_proj(steps).to(sample.dtype), timestep_cond)
        return embedding.repeat_interleave(sample.shape[2], dim=0)

    def _input(
        self,
        sample: Tensor,
        frame_numbers: Tensor | None = None,
        pooled: Tensor | None = None,
        lay_out: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Latents [B, C, F, H, W] -> features of every frame [B*F, C', H, W]; `lay_out` [B] says for whom.

        Samples of latents stay as many, unless `pooled` is of more and the network has a layout.
        """
        frames, inputs = sample.shape[2], [sample]
        if self.coordinates:
            planes = coordinate_planes(_numbers(sample, frame_numbers), *sample.shape[3:]).to(sample)
            inputs.append(planes)
            if self.layout_network is not None:
                guess = self.layout_network(pooled, planes)
                inputs.append(guess if lay_out is None else guess * lay_out.view(-1, 1, 1, 1, 1))
        if self.known_planes:
            inputs.append(known_planes(sample, known))
        batch = max(map(len, inputs))
        planes = torch.cat([each(given, batch) for given in inputs], dim=1)
        sample = self.conv_in(planes.transpose(1, 2).flatten(0, 1))
        return self.transformer_in(sample, num_frames=frames, return_dict=False)[0]

    def _down(self, x: Tensor, time: Tensor, context: Context, frames: int, levels: int | None = None) -> list[Tensor]:
        """Skip features: after the input, after every layer, after every downsampler; of all levels, or the first."""
        rows = context.batch * frames
        skips = [spread(x, rows, frames)]
        first, *others = self.down_blocks[:levels]
        if max(len(x), len(time)) < rows and first.has_cross_attention:
            x, new = begin(first, x, time, context, frames)
        else:
            x, new = first(skips[0], spread(time, rows, frames), num_frames=frames, **context_of(first, context))
        skips.extend(new)
        for block in others:
            x, new = block(x, spread(time, rows, frames), num_frames=frames, **context_of(block, context))
            skips.extend(new)
        return skips

    def _mid(self, x: Tensor, time: Tensor, context: Context, frames: int) -> Tensor:
        middle: Tensor = self.mid_block(x, time, encoder_hidden_states=context, num_frames=frames)
        return middle


def each(x: Tensor, batch: int) -> Tensor:
    """What stands for several samples that follow one another, for each of them: [S, …] -> [B, …]."""
    if len(x) == 1:
        return x.expand(batch, *[-1] * (x.ndim - 1))
    return x if len(x) == batch else x.repeat_interleave(batch // len(x), dim=0)


def spread(x: Tensor, rows: int, frames: int) -> Tensor:
    """The same of all frames: [S*F, …] -> [B*F, …], which are `rows`."""
    return x if len(x) == rows else each(x.unflatten(0, (-1, frames)), rows // frames).flatten(0, 1)


def begin(block: Any, x: Tensor, time: Tensor, context: Context, frames: int) -> tuple[Tensor, list[Tensor]]:
    """A block with cross-attention, from features [S*F, C, H, W] to those of all samples that the context is of."""
    rows, skips = context.batch * frames, []
    layers = zip(block.resnets, block.temp_convs, block.attentions, block.temp_attentions, strict=True)
    for resnet, convolution, attention, over_frames in layers:
        x = spread(convolution(resnet(x, time), num_frames=frames), rows, frames)
        time = spread(time, rows, frames)
        x = attention(x, encoder_hidden_states=context, return_dict=False)[0]
        x = over_frames(x, num_frames=frames, return_dict=False)[0]
        skips.append(x)
    for sampler in block.downsamplers or ():
        x = sampler(x)
        skips.append(x)
    return x, skips


class Layout(nn.Module):
    """The video that a caption lets one expect, before any noise is looked at: text, frame and place -> latents.

    A small network takes very long to find out that a direction word means another place in every frame: what the word
    says of one place changes sign over time, and with the colours. Regression from the caption alone finds it in
    minutes; the denoiser is then given the (blurred) expectation as input planes, and dots the i's. Not published.
    """

    def __init__(self, text_dim: int, channels: int, width: int = 128):
        super().__init__()
        self.place = nn.Linear(COORDINATE_CHANNELS, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.modulations = nn.ModuleList(nn.Linear(text_dim, 2 * width) for _ in range(4))
        self.out = nn.Linear(width, channels)

    def forward(self, pooled: Tensor, planes: Tensor) -> Tensor:
        """Pooled text [B, D] and coordinate planes [S, 9, F, H, W] -> expected latents [B, C, F, H, W]."""
        place = self.place(planes.movedim(1, -1))
        x = self._say(0, each(place, len(pooled)), pooled)
        for i, layer in enumerate(self.layers, start=1):
            x = x + self._say(i, layer(x), pooled)
        guess: Tensor = self.out(x)
        return guess.movedim(-1, 1)

    def _say(self, i: int, x: Tensor, pooled: Tensor) -> Tensor:
        scale, shift = self.modulations[i](pooled)[:, None, None, None].chunk(2, dim=-1)
        return nn.functional.silu(x * (1 + scale) + shift)


def _numbers(sample: Tensor, frame_numbers: Tensor | None) -> Tensor:
    """Frame numbers of latents [B, C, F, H, W], [B, F]: 0, 1, 2, … where none are given."""
    numbers = torch.arange(sample.shape[2], device=sample.device)[None] if frame_numbers is None else frame_numbers
    return numbers.expand(sample.shape[0], -1)


def skip_channels(block_out_channels: Sequence[int], layers_per_block: int) -> list[int]:
    """Channels of the skips in their order; 12 for the published network."""
    channels = [block_out_channels[0]]
    for level, width in enumerate(block_out_channels):
        last = level == len(block_out_channels) - 1
        channels += [width] * (layers_per_block + (0 if last else 1))
    return channels


def coordinate_planes(frame_numbers: Tensor, height: int, width: int) -> Tensor:
    """Where and when: frame number, row and column, each with a sine and a cosine; [B, F] -> [B, 9, F, H, W]."""
    when = (frame_numbers / 7.5 - 1)[:, :, None, None]  # -1 to 1 over the 16 frames of a chunk
    rows, columns = (2 * (torch.arange(n, device=when.device) + 0.5) / n - 1 for n in (height, width))
    grid = torch.stack(torch.broadcast_tensors(when, rows[:, None], columns), dim=1)  # [B, 3, F, H, W]
    return torch.cat([grid, (torch.pi * grid).sin(), (torch.pi * grid).cos()], dim=1)


def known_planes(sample: Tensor, known: Tensor | None) -> Tensor:
    """Latents of the first K frames [B, C, K, H, W], black after them, and a mask that is 1 where they are."""
    planes = sample.new_zeros(sample.shape[0], sample.shape[1] + 1, *sample.shape[2:])
    if known is not None:
        planes[:, :-1, : known.shape[2]] = known.to(sample)
        planes[:, -1, : known.shape[2]] = 1
    return planes


def context_of(block: nn.Module, context: Context) -> dict[str, Any]:
    return {"encoder_hidden_states": context} if getattr(block, "has_cross_attention", False) else {}
