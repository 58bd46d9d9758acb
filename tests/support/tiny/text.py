"""Tokenizers and text encoders as small as they can be."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

WIDTH = 32
GEMMA_LAYERS = 2
_SPECIAL = ("<pad>", "</s>", "<unk>")


def tokenizer(max_length: int = 64, padding_side: str = "right") -> PreTrainedTokenizerFast:
    """Of single letters, ending as T5's does."""
    vocabulary = {token: i for i, token in enumerate((*_SPECIAL, *map(chr, range(32, 127))))}
    letters = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=letters,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=max_length,
        padding_side=padding_side,
    )


def t5(multilingual: bool = False) -> Any:
    """T5's encoder, or UMT5's."""
    config, model = (UMT5Config, UMT5EncoderModel) if multilingual else (T5Config, T5EncoderModel)
    return model(
        config(vocab_size=len(_SPECIAL) + 95, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
    ).eval()


def gemma3() -> Any:
    """Gemma 3 with the eye that it has for pictures, which is not used."""
    words = {
        "vocab_size": len(_SPECIAL) + 95,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": GEMMA_LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
    }
    eye = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 8,
        "patch_size": 4,
    }
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=words, vision_config=eye, mm_tokens_per_image=4)
    ).eval()
