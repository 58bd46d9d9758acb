"""OpenCLIP's two towers, ViT-H/14 as published, as transformers' CLIP: names, shapes, and q, k, v in one matrix.

Owns those names; knows nothing of files. Both towers say GELU, not CLIP's quick approximation of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from models.released.part import Origin, Part
from models.released.weights import Weights
from models.streaming_t2v.convert import ConversionError

VISION_HEAD_DIM, TEXT_HEAD_DIM = 80, 64  # of ViT-H/14; a state dict does not tell

_LAYER = re.compile(r"^transformer\.resblocks\.(\d+)\.(.+)$")
_IN_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def vision_part(name: str, weights: Weights) -> Part:
    """The image tower, `visual.*` -> CLIPVisionModelWithProjection: its pooled, projected embedding."""
    tower = weights.below("visual.")
    like = tower.like
    width, side = _shape(name, like, "conv1.weight")[0], _shape(name, like, "conv1.weight")[-1]
    positions = _shape(name, like, "positional_embedding")[0] - 1
    layers = _layers(like)
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=_shape(name, like, "transformer.resblocks.0.mlp.c_fc.weight")[0],
        projection_dim=_shape(name, like, "proj")[1],
        num_hidden_layers=layers,
        num_attention_heads=width // VISION_HEAD_DIM,
        image_size=round(positions**0.5) * side,
        patch_size=side,
        hidden_act="gelu",
    )
    names = {
        "class_embedding": "vision_model.embeddings.class_embedding",
        "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "positional_embedding": "vision_model.embeddings.position_embedding.weight",
        **_affine("ln_pre", "vision_model.pre_layrnorm"),
        **_affine("ln_post", "vision_model.post_layernorm"),
    }
    origins = {ours: Origin(theirs) for theirs, ours in names.items()}
    origins["visual_projection.weight"] = Origin("proj", _transposed)
    origins |= _blocks(like, "vision_model.encoder.layers.", layers)
    with torch.device("meta"):
        return Part(name, CLIPVisionModelWithProjection(config), tower, origins)


def text_part(name: str, weights: Weights) -> Part:
    """The text tower without its last block -> CLIPTextModel.

    What is read of it is the output of its last block but one under the final norm. Without the last block that is
    the model's `last_hidden_state`, as in the text encoders of Stable Diffusion 2 and of ModelScope's 1.7b.
    """
    like = weights.like
    words, width = _shape(name, like, "token_embedding.weight")
    layers = _layers(like) - 1
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=_shape(name, like, "transformer.resblocks.0.mlp.c_fc.weight")[0],
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=width // TEXT_HEAD_DIM,
        max_position_embeddings=_shape(name, like, "positional_embedding")[0],
        hidden_act="gelu",
        bos_token_id=min(49406, words - 2),
        eos_token_id=min(49407, words - 1),
        pad_token_id=0,
    )
    with torch.device("meta"):
        model = CLIPTextModel(config)
    prefix = text_prefix(model.state_dict())
    names = {
        "token_embedding.weight": f"{prefix}embeddings.token_embedding.weight",
        "positional_embedding": f"{prefix}embeddings.position_embedding.weight",
        **_affine("ln_final", f"{prefix}final_layer_norm"),
    }
    origins = {ours: Origin(theirs) for theirs, ours in names.items()}
    return Part(name, model, weights, origins | _blocks(like, f"{prefix}encoder.layers.", layers))


def text_prefix(keys: Mapping[str, Tensor]) -> str:
    """Before transformers 5 everything in a CLIPTextModel was below `text_model.`; since then nothing is."""
    return "text_model." if any(key.startswith("text_model.") for key in keys) else ""


def _blocks(like: Mapping[str, Tensor], prefix: str, layers: int) -> dict[str, Origin]:
    origins: dict[str, Origin] = {}
    for key in like:
        matched = _LAYER.match(key)
        if matched and int(matched[1]) < layers:
            origins |= _in_block(key, matched[2], f"{prefix}{matched[1]}.")
    return origins


def _in_block(key: str, part: str, prefix: str) -> dict[str, Origin]:
    if part in ("attn.in_proj_weight", "attn.in_proj_bias"):
        kind = part.removeprefix("attn.in_proj_")
        thirds: dict[str, Callable[[Tensor], Tensor]] = {x: partial(_third, i) for i, x in enumerate("qkv")}
        return {f"{prefix}self_attn.{x}_proj.{kind}": Origin(key, third) for x, third in thirds.items()}
    layer, _, kind = part.rpartition(".")
    return {f"{prefix}{_IN_LAYER.get(layer, layer)}.{kind}": Origin(key)}


def _third(i: int, tensor: Tensor) -> Tensor:
    return tensor.chunk(3)[i]


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.T


def _affine(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")}


def _layers(like: Mapping[str, Tensor]) -> int:
    return 1 + max((int(matched[1]) for key in like if (matched := _LAYER.match(key))), default=-1)


def _shape(name: str, like: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    if key not in like:
        raise ConversionError(f"{name}: this is no OpenCLIP tower, for it has no {key}")
    return tuple(like[key].shape)
