"""Tokenizers and text encoders as small as they can be."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

WIDTH = 32
_SPECIAL = ("<pad>", "</s>", "<unk>")


def tokenizer(max_length: int = 64) -> PreTrainedTokenizerFast:
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
    )


def t5(multilingual: bool = False) -> Any:
    """T5's encoder, or UMT5's."""
    config, model = (UMT5Config, UMT5EncoderModel) if multilingual else (T5Config, T5EncoderModel)
    return model(
        config(vocab_size=len(_SPECIAL) + 95, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
    ).eval()
