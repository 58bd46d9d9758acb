"""From the published checkpoint's keys to ours: `convert_checkpoint`.

Owns the names of the released `streaming_t2v.ckpt`; reads no file. Works on meta tensors as on real ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from models.model import CheckpointError

#: Released prefix -> our component. Everything else in the file (text encoder, VAE, CLIP, optimizer) stays behind.
COMPONENTS = {"base_model": "unet", "unet": "cam", "resampler": "apm"}

_NAMES: dict[str, list[tuple[str, str]]] = {
    "unet": [
        (r"^cross_attention_merger_down_blocks\.(\d+)\.temporal_transformer\.", r"cam_injectors.\1."),
        (r"^cross_attention_merger_mid_block\.temporal_transformer\.", "cam_mid_injector."),
        (r"^(cam_\w+(?:\.\d+)?\.)attention\.(to_[qkv]\.)", r"\1\2"),
        (r"^(cam_\w+(?:\.\d+)?\.)attention\.to_out\.0\.", r"\1to_out."),
    ],
    "cam": [(r"^controlnet_cond_embedding\.", "frame_embedding.")],
    "apm": [(r"^context_embedding\.0\.", "linear_1."), (r"^context_embedding\.2\.", "linear_2.")],
}
_MIXER = re.compile(r"^(?P<attention>.*attn2)\.(?P<part>alpha|conv|conv_ln)(?P<rest>\..*)?$")


class ConversionError(CheckpointError):
    """The checkpoint is not the released layout; the message names keys that are missing, left over or misshapen."""


def convert_checkpoint(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, dict[str, Tensor]]:
    """Sort a released state dict into {"unet": …, "cam": …, "apm": …}, ready for `load_state_dict(strict=True)`.

    config: keyword arguments of each component's class where it is not the published size. The result is checked
    against the classes' own keys and shapes on the meta device. Raises `ConversionError`.
    """
    networks = empty(config)
    names = rename(state_dict, networks["unet"])
    components = {name: {ours: state_dict[key] for ours, key in part.items()} for name, part in names.items()}
    for name, model in networks.items():
        check(name, components[name], {key: value.shape for key, value in model.state_dict().items()})
    return components


def rename(keys: Iterable[str], unet: Any) -> dict[str, dict[str, str]]:
    """Released keys -> {component: {our name: released key}}; `unet` is a `StreamingUNet3D` of the same layers."""
    names: dict[str, dict[str, str]] = {name: {} for name in COMPONENTS.values()}
    mixers = _mixer_indices(unet)
    for key in keys:
        prefix, _, name = key.partition(".")
        if prefix in COMPONENTS:
            component = COMPONENTS[prefix]
            names[component][_rename(component, name, mixers)] = key
    return names


def _rename(component: str, name: str, mixers: Mapping[str, int]) -> str:
    mixer = _MIXER.match(name)
    if component == "unet" and mixer and mixer["attention"] in mixers:
        part = {"alpha": "alpha", "conv": "conv", "conv_ln": "norm"}[mixer["part"]]
        return f"apm_mixers.{mixers[mixer['attention']]}.{part}{mixer['rest'] or ''}"
    for pattern, ours in _NAMES[component]:
        name = re.sub(pattern, ours, name)
    return name


def empty(config: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Any]:
    """The three networks on the meta device."""
    from torch import device

    from models.streaming_t2v.apm import AppearancePreservationModule
    from models.streaming_t2v.cam import ConditionalAttentionModule
    from models.streaming_t2v.unet import StreamingUNet3D

    classes = {
        "unet": StreamingUNet3D,
        "cam": ConditionalAttentionModule,
        "apm": AppearancePreservationModule,
    }
    with device("meta"):
        return {name: cls(**(config or {}).get(name, {})) for name, cls in classes.items()}


def _mixer_indices(unet: Any) -> dict[str, int]:
    """Name of every text-reading cross-attention in the main network -> number of its mixer."""
    names = {id(module): name for name, module in unet.named_modules()}
    return {names[id(attention)]: i for i, attention in enumerate(unet.cross_attentions())}


def check(component: str, got: Mapping[str, Tensor], want: Mapping[str, Any]) -> None:
    """Raise `ConversionError` unless `got` has exactly the names and shapes of `want`."""
    missing, extra = sorted(want.keys() - got.keys()), sorted(got.keys() - want.keys())
    misshapen = [
        f"{key} is {tuple(got[key].shape)} and must be {tuple(want[key])}"
        for key in want.keys() & got.keys()
        if got[key].shape != want[key]
    ]
    for what, keys in (("missing", missing), ("left over", extra), ("of another shape", sorted(misshapen))):
        if keys:
            raise ConversionError(f"{component}: {len(keys)} keys {what}, such as {', '.join(keys[:3])}")
