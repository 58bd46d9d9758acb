"""The text-to-video network of a checkpoint asked without memory and anchor, by the streamers that need no training.

Owns which network that is, and how it does without the layout, which is of a video's first frames only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.text import EncodedText, concatenate, encode, pooled_for
from models.streaming_t2v.unet import StreamingUNet3D
from models.streaming_t2v.way import Way


def network_of(parts: StreamingPipeline) -> Any:
    """The first chunk's network; a released one knows one timestep for all frames, and the streaming one stands in."""
    own = parts.first_chunk
    return own if isinstance(own, StreamingUNet3D) else parts.unet


def read(parts: StreamingPipeline, network: Any, prompts: list[str]) -> EncodedText:
    """Prompts as that network's text encoder has them."""
    return encode(parts.tokenizer, parts.text_encoder, prompts, network.config.num_text_tokens)


def plain_way(
    parts: StreamingPipeline, network: Any, prompt: str, negative_prompt: str
) -> Callable[[tuple[str, ...]], Way]:
    """How the network is asked for the branches of guidance, by their names."""
    text, null = (read(parts, network, [said]) for said in (prompt, negative_prompt))

    def way(branches: tuple[str, ...]) -> Way:
        texts = concatenate([null if name == "null" else text for name in branches])
        pooled = pooled_for(network, texts.pooled)
        without: dict[str, Tensor | None] = {}
        if network.config.layout:
            without["lay_out"] = texts.tokens.new_zeros(len(branches))
        return Way(network, len(branches), network.context(texts.tokens), pooled, planes=without)

    return way
