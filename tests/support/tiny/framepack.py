"""A HunyuanVideoFramepackPipeline as small as it can be, with a tokenizer that knows the words of its template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoFramepackPipeline,
    HunyuanVideoFramepackTransformer3DModel,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video_framepack import DEFAULT_PROMPT_TEMPLATE
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from models.model import Size
from tests.support.tiny import text

SIZE = Size(48, 32)
OPTIONS: dict[str, bool | int | float | str] = {"latent_window_size": 2}


def build(folder: Path) -> Path:
    """A checkpoint in `folder`, the same every time."""
    torch.manual_seed(7)
    HunyuanVideoFramepackPipeline(
        **_shared(),
        transformer=HunyuanVideoFramepackTransformer3DModel(
            **_SIZE, has_image_proj=True, image_proj_dim=32, has_clean_x_embedder=True
        ),
        image_encoder=SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=32,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=16,
                patch_size=8,
            )  # fmt: skip
        ),
        feature_extractor=SiglipImageProcessor(size={"height": 16, "width": 16}),
    ).save_pretrained(folder)
    return folder


def build_hunyuan(folder: Path) -> Path:
    """HunyuanVideo itself, which draws from text."""
    torch.manual_seed(8)
    parts = _shared() | {"scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0)}
    HunyuanVideoPipeline(**parts, transformer=HunyuanVideoTransformer3DModel(**_SIZE)).save_pretrained(folder)
    return folder


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """Of the template's words, and of letters. The pipeline cuts off the 95 tokens that stand before the prompt in
    Llama's own; four that begin every text make them as many here.
    """
    marks = ("<pad>", "<unk>", "<|begin|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    split = pre_tokenizers.Split(Regex(r"<\|\w+\|>|\w+|[^\w\s]"), "removed", invert=True)
    words = [word for word, _ in split.pre_tokenize_str(DEFAULT_PROMPT_TEMPLATE["template"])]
    letters = [chr(i) for i in range(33, 127)]
    known = dict.fromkeys((*marks, *words, *letters, *map("##{}".format, letters)))
    vocabulary = {token: i for i, token in enumerate(known)}
    pieces = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    pieces.pre_tokenizer = split
    begin = "<|begin|>"
    pieces.post_processor = processors.TemplateProcessing(
        single=f"{begin} {begin} {begin} {begin} $A", special_tokens=[(begin, vocabulary[begin])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces, pad_token="<pad>", unk_token="<unk>", bos_token=begin, padding_side="right"
    )


def _llama(words: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=words, hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=512, pad_token_id=0, bos_token_id=2, eos_token_id=5,
    )  # fmt: skip


def _clip() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=98, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        projection_dim=8, pad_token_id=0, bos_token_id=2, eos_token_id=1,
    )  # fmt: skip


_SIZE: dict[str, Any] = {
    "in_channels": 4, "out_channels": 4, "num_attention_heads": 2, "attention_head_dim": 10, "num_layers": 1,
    "num_single_layers": 1, "num_refiner_layers": 1, "patch_size": 2, "patch_size_t": 1, "guidance_embeds": True,
    "text_embed_dim": 16, "pooled_projection_dim": 8, "rope_axes_dim": (2, 4, 4),
}  # fmt: skip


def _shared() -> dict[str, Any]:
    words = llama_tokenizer()
    return {
        "text_encoder": LlamaModel(_llama(len(words))),
        "tokenizer": words,
        "vae": _vae(),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        "text_encoder_2": CLIPTextModel(_clip()),
        "tokenizer_2": text.tokenizer(77),
    }


def _vae() -> AutoencoderKLHunyuanVideo:
    return AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4,
    )  # fmt: skip
