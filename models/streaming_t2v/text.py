"""Prompts as tokens: what the networks read, with the pooled vector for those that take one.

Owns tokenizing and encoding; knows nothing of guidance.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.modeling_utils import get_parameter_device
from torch import Tensor

_TOKENIZING = threading.Lock()  # padding and cutting are set in the tokenizer itself, which refuses two threads at once


@dataclass(frozen=True, slots=True)
class EncodedText:
    """tokens [B, T, D] and the pooled vector [B, D] of as many prompts."""

    tokens: Tensor
    pooled: Tensor


def encode(tokenizer: Any, text_encoder: Any, prompts: list[str], num_tokens: int) -> EncodedText:
    """Prompts -> their last hidden states, padded or cut to `num_tokens`."""
    with _TOKENIZING:
        told = tokenizer(prompts, padding="max_length", max_length=num_tokens, truncation=True, return_tensors="pt")
    ids = told.input_ids
    out = text_encoder(ids.to(get_parameter_device(text_encoder)))  # where it computes, also if its weights are off
    return EncodedText(out.last_hidden_state, out.pooler_output)


def pooled_for(network: Any, pooled: Tensor) -> Tensor | None:
    """The pooled vector where that network takes one (its config has `time_cond_proj_dim`), else None."""
    return None if network.config.get("time_cond_proj_dim") is None else pooled


def concatenate(texts: list[EncodedText]) -> EncodedText:
    """Several as one batch."""
    return EncodedText(torch.cat([t.tokens for t in texts]), torch.cat([t.pooled for t in texts]))
