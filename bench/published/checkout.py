"""The published code, from a checkout of it, with today's libraries: what it imports and they have no more.

`git clone -b StreamingModelscope https://github.com/Picsart-AI-Research/StreamingT2V` makes one; it needs einops too.
Nothing of it is copied. What stands in here: a module that diffusers has moved, xFormers' attention by torch's own
(the same products and sums), and packages that only its image encoder and its training use.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROOM = "t2v_enhanced.model.diffusers_conditional.models.controlnet"
REFINER = "t2v_enhanced/thirdparty/modelscope/models/multi_modal/video_to_video/modules/unet_v2v.py"
#: What it imports and does not use here, or what a line of torch stands in for.
ABSENT = (
    *("open_clip", "kornia", "pytorch_lightning", "xformers", "xformers.ops"),
    *("fairscale", "fairscale.nn", "fairscale.nn.checkpoint", "rotary_embedding_torch"),
)


class Checkout:
    """folder: of the repository, on the branch of the paper. Raises `FileNotFoundError` where it is another."""

    def __init__(self, folder: Path):
        if not (folder / ROOM.replace(".", "/")).is_dir():
            raise FileNotFoundError(f"{folder} is no checkout of StreamingT2V's branch StreamingModelscope.")
        sys.path.insert(0, str(folder))
        _stand_in()
        self._processor = importlib.import_module(f"{ROOM}.processor")
        self.ControlNetModel: Any = importlib.import_module(f"{ROOM}.controlnet").ControlNetModel
        self.UNet3DConditionModel: Any = importlib.import_module(f"{ROOM}.unet_3d_condition").UNet3DConditionModel
        self.Resampler: Any = importlib.import_module(f"{ROOM}.image_embedder").ImgEmbContextResampler
        # by its file: the packages above it want all that ModelScope wants
        loader = importlib.machinery.SourceFileLoader("unet_v2v", str(folder / REFINER))
        self._refiner = types.ModuleType("unet_v2v")
        loader.exec_module(self._refiner)

    def networks(self, config: dict[str, Any], token_dim: int, embedding_dim: int) -> dict[str, Any]:
        """Its three networks of a size, as its own configuration composes them: base_model, unet (CAM), resampler."""
        encoder = type("FrozenOpenCLIPImageEmbedder", (), {})()
        told = types.SimpleNamespace(
            use_of=False,
            concat=False,
            image_encoder=encoder,
            use_image_tokens_main=True,
            use_image_tokens_ctrl=False,
        )
        cam = self.ControlNetModel(
            **config,
            conditioning_embedding_out_channels=(32, 96, 256, 512),
            frame_expansion="none",
            num_frames=8,
            num_frame_conditioning=8,
            zero_conv_mode="Identity",
            merging_mode="addition",
            condition_encoder="",
            unet_params=told,
        )
        base = self.UNet3DConditionModel(
            **config, merging_mode="attention_cross_attention", use_image_embedding=True, unet_params=told
        )
        resampler = self.Resampler(cross_attention_dim=token_dim)
        for network in (cam, base):
            mask = types.SimpleNamespace(
                temp_attend_on_neighborhood_of_condition_frames=False, spatial_attend_on_condition_frames=False
            )
            self._processor.set_use_memory_efficient_attention_xformers(
                network, num_frame_conditioning=8, num_frames=16, attention_mask_params=mask
            )
        return {"base_model": base, "unet": cam, "resampler": resampler}

    def refiner(self, width: int) -> Any:
        """MS-Vid2Vid-XL's network of a width, as its class makes it."""
        return self._refiner.Vid2VidSDUNet(dim=width)


def _stand_in() -> None:
    for name in ABSENT:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules.setdefault(name, module)
    sys.modules["fairscale.nn.checkpoint"].checkpoint_wrapper = lambda module: module  # type: ignore[attr-defined]
    sys.modules["rotary_embedding_torch"].RotaryEmbedding = torch.nn.Module  # type: ignore[attr-defined]
    sys.modules["xformers"].ops = sys.modules["xformers.ops"]  # type: ignore[attr-defined]
    sys.modules["xformers.ops"].memory_efficient_attention = attention  # type: ignore[attr-defined]
    moved = "diffusers.models.transformer_temporal"
    sys.modules[moved] = importlib.import_module("diffusers.models.transformers.transformer_temporal")
    settings = types.ModuleType("t2v_enhanced.model.pl_module_params_controlnet")
    settings.AttentionMaskParams = types.SimpleNamespace  # type: ignore[attr-defined]
    sys.modules[settings.__name__] = settings
    importlib.import_module("diffusers.utils.import_utils")._xformers_available = True


def attention(
    q: Tensor, k: Tensor, v: Tensor, attn_bias: Tensor | None = None, op: Any = None, scale: float | None = None
) -> Tensor:
    """xFormers' memory_efficient_attention on [B*heads, L, d], by torch."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias, scale=scale)


def shaken(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """With every parameter drawn anew, those too that begin at zero, so that nothing is skipped over."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            drawn = spread * torch.randn(parameter.shape, generator=draw)
            centre = 0.5 if name.endswith("alpha") else float(parameter.ndim == 1 and name.endswith("weight"))
            parameter.copy_(centre + drawn)
    return network.eval().requires_grad_(False)
