"""SpaceTimeUNet: an image network of diffusers, inflated to draw video.

Source: Make-A-Video (arXiv 2209.14792) sections 3.2 to 3.4. One class for its decoder Dᵗ, its frame interpolation ↑F
and its super-resolutions: they differ in the image network that they begin as, and in what is laid beside the noisy
frames.
Owns inflation and the forward pass; knows nothing of schedules, guidance or chunks.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor, nn

from models.make_a_video.pseudo import Clip, PseudoAttention, PseudoConv3d, TimeAndRate


class SpaceTimeUNet(ModelMixin, ConfigMixin):
    """Every 3×3 convolution of the image network becomes a `PseudoConv3d`, every transformer a `PseudoAttention`.

    image_config: of a `UNet2DConditionModel`. Where its `encoder_hid_dim_type` is 'image_proj' it draws from a CLIP
    image embedding, as the decoder of unCLIP; else from tokens; without cross-attention from neither.
    planes: channels laid beside the noisy frames. difference: above 0, what it draws is not the frames but so many
    times their difference from what its planes let one expect (arXiv 2104.14951 does so to enlarge pictures): whoever
    lays the planes takes the one from the other and adds it again. Not in the paper.

    As it begins it is the image network, frame by frame and bit by bit: `inflate`.
    """

    @register_to_config
    def __init__(self, image_config: dict[str, Any], planes: int = 0, difference: float = 0.0):
        super().__init__()
        self._clip = Clip()
        self.image: Any = inflated(UNet2DConditionModel.from_config(image_config), self._clip, planes)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        condition: Tensor | None = None,
        *,
        fps: Tensor | None = None,
        beside: Tensor | None = None,
        level: Tensor | None = None,
    ) -> UNet3DConditionOutput:
        """Predict noise (or velocity, or frames) for noisy frames [B, C, F, H, W] at a timestep, one or one a clip.

        condition: CLIP image embeddings [B, D], or tokens [B, T, D]. fps: frames a second of each clip, [B]. beside:
        the planes, [B, P, F, H, W]. level: how far these are noised, [B] (where the image network's `class_embed_type`
        is 'timestep'). Pictures are clips of one frame.
        """
        batch, _, frames = sample.shape[:3]
        if beside is not None:
            sample = torch.cat([sample, beside], dim=1)
        if isinstance(timestep, Tensor) and timestep.ndim:
            timestep = timestep.repeat_interleave(frames)
        each = None if condition is None else condition.repeat_interleave(frames, dim=0)
        draws_from_image = self.image.config.encoder_hid_dim_type == "image_proj"
        tokens, more = (None, {"image_embeds": each}) if draws_from_image else (each, None)
        with self._clip.of(frames, None if fps is None else fps.repeat_interleave(frames)):
            flat = sample.transpose(1, 2).flatten(0, 1)  # [B·F, C, H, W]
            levels = None if level is None else level.repeat_interleave(frames)
            (made,) = self.image(flat, timestep, tokens, levels, added_cond_kwargs=more, return_dict=False)
        return UNet3DConditionOutput(sample=made.unflatten(0, (batch, frames)).transpose(1, 2))


def inflate(image: Any, planes: int = 0, difference: float = 0.0) -> SpaceTimeUNet:
    """The video network that begins as this image network, a `UNet2DConditionModel`, which is left as it is."""
    config = {key: value for key, value in image.config.items() if not key.startswith("_")}  # not where it came from
    network = SpaceTimeUNet(config, planes, difference)
    network.image = inflated(deepcopy(image), network._clip, planes)
    return network


def inflated(network: Any, clip: Clip, planes: int) -> Any:
    """The image network itself, with what it needs for time. 1×1 convolutions get nothing: they mix no pixels."""
    if planes:
        network.conv_in = widened(network.conv_in, planes)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and child.kernel_size == (3, 3):
                setattr(module, name, PseudoConv3d(child, clip))
            elif isinstance(child, Transformer2DModel):
                setattr(module, name, attending(child, clip))  # in a ModuleList a name is a place
    network.time_embedding = TimeAndRate(network.time_embedding, clip)
    return network


def attending(transformer: Any, clip: Clip) -> PseudoAttention:
    """A transformer of the image network with one over time after it, as wide."""
    config = transformer.config
    return PseudoAttention(
        transformer,
        clip,
        channels=transformer.in_channels,
        heads=config.num_attention_heads,
        norm_num_groups=config.norm_num_groups,
    )


def widened(conv: nn.Conv2d, planes: int) -> nn.Conv2d:
    """The same layer with so many more input channels, of which it takes no notice yet."""
    channels = conv.in_channels + planes
    wider = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)  # type: ignore[arg-type]
    with torch.no_grad():
        wider.weight.zero_()
        wider.weight[:, : conv.in_channels] = conv.weight
        wider.bias.copy_(conv.bias)  # type: ignore[union-attr, arg-type]
    return wider
