"""StreamingTransformer3D: Wan's diffusion transformer (arXiv 2503.20314), able to hear CAM and APM.

Source: StreamingT2V (arXiv 2403.14773), which reports of a diffusion transformer that CAM's attention stands in the
last half of its blocks and APM in its cross-attentions. It answers to all that `StreamingUNet3D` does in a
`StreamingPipeline`. Owns the forward pass; knows nothing of schedules, guidance or chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 - where diffusers looks for how to load a class
from torch import Tensor, nn

from models.streaming_dit.blocks import VideoTransformer, latents_of
from models.streaming_t2v.apm import AnchorMixer
from models.streaming_t2v.cam import Injector, Memory
from models.streaming_t2v.context import Context


@dataclass(frozen=True, slots=True)
class Prediction:
    """sample: noise or velocity, [B, C, F, H, W]."""

    sample: Tensor


class StreamingTransformer3D(VideoTransformer):
    """WanTransformer3DModel + CAM injectors after its last blocks + APM mixers in its cross-attentions.

    injected_blocks: how many blocks, the last ones, attend to CAM's features: as many as CAM's copy has. The sizes of
    the default are those of the bundled model, not of Wan.
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
        num_layers: int = 8,
        injected_blocks: int = 4,
        coordinates: bool = False,
        num_text_tokens: int = 77,
        num_image_tokens: int = 16,
        norm_num_groups: int = 8,
    ):
        if not 0 <= injected_blocks <= num_layers:
            raise ValueError(f"injected_blocks is {injected_blocks}, of {num_layers} blocks.")
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
        width = num_attention_heads * attention_head_dim
        self.cam_injectors = nn.ModuleList(
            Injector(width, attention_head_dim, norm_num_groups) for _ in range(injected_blocks)
        )
        self.apm_mixers = nn.ModuleList(
            AnchorMixer(num_text_tokens, num_image_tokens, text_dim) for _ in range(num_layers)
        )

    def anchored_context(self, text_tokens: Tensor, image_tokens: Tensor) -> Context:
        """K and V of text mixed with the anchor: [B, T, D] and [B, N, D]; constant over the steps of a chunk."""
        return self._context([mixer(text_tokens, image_tokens) for mixer in self.apm_mixers])

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Context | Tensor,
        timestep_cond: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Prediction:
        """Predict noise (or velocity) for latents [B, C, F, H, W] at a timestep (one, or one a sample).

        Latents may be given once for several samples of the context, as to `StreamingUNet3D`. timestep_cond: not heard;
        the prompt is read by the cross-attentions alone. memory: CAM's features at this step.
        """
        context = encoder_hidden_states
        if isinstance(context, Tensor):
            context = self.context(context)
        walk = self._walk(sample, timestep, context)
        first = len(self.blocks) - len(self.cam_injectors)
        for number in self._pass(walk):
            if memory is not None and number >= first:
                injector = self.cam_injectors[number - first]
                walk.replace(injector(walk.features(), memory.skips[number - first], context.batch))
        return Prediction(latents_of(self, walk.tokens, walk.size, walk.time))
