"""The tokenizer and text encoder of the bundled model: one token a word of the shapes world.

Owns their sizes and special tokens.
"""

from __future__ import annotations

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from models.shapes.language import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, SIZES, SPEEDS

NUM_TOKENS = 28  # the longest caption of two actors, with its ends
WIDTH = 64


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Word level; <eos> has the highest id, which is how CLIP finds the token to pool."""
    motion_words = {word for motion in MOTIONS for word in motion.split()}
    words = [
        "a",
        "an",
        "and",
        "on",
        "background",
        *COLOURS,
        *SHAPES,
        *BACKGROUNDS,
        *SIZES,
        *SPEEDS,
        *motion_words,
    ]
    names = ["<pad>", "<bos>", "<unk>", *sorted(set(words)), "<eos>"]
    ids = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))  # noqa: S106
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<bos>", ids["<bos>"]), ("<eos>", ids["<eos>"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",  # noqa: S106
        eos_token="<eos>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        model_max_length=NUM_TOKENS,
    )


def text_config(tokenizer: PreTrainedTokenizerFast) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=NUM_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def make_text_encoder(tokenizer: PreTrainedTokenizerFast) -> CLIPTextModel:
    return CLIPTextModel(text_config(tokenizer))
