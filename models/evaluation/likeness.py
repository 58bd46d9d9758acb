"""What a CLIP pair says of a video: whether it shows the prompt, and whether it still looks as it began."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel

from models.evaluation.gauge import Figures, Frame, measure
from models.model import CheckpointError
from models.streaming_t2v.anchor import clip_pixels

BATCH = 16

Encode = Callable[[Tensor], Tensor]  # frames [N, 3, H, W] in [-1, 1] -> features [N, E]


class Likeness:
    """Gauge of `clip_text` (where a text's feature is given) and `clip_anchor_distance`; frames go in by sixteen."""

    def __init__(self, encode: Encode, text: Tensor | None = None):
        self._encode, self._text = encode, text
        self._waiting: list[np.ndarray] = []
        self._features: list[Tensor] = []  # each [N, E], of length 1

    def see(self, frame: Frame) -> None:
        self._waiting.append(frame)
        if len(self._waiting) == BATCH:
            self._embed()

    def figures(self) -> Figures:
        self._embed()
        names = ["clip_anchor_distance"] + ["clip_text"] * (self._text is not None)
        if not self._features:
            return dict.fromkeys(names)
        features = torch.cat(self._features)
        later = 1 - features[1:] @ features[0]
        figures: Figures = {"clip_anchor_distance": later.mean().item() if len(later) else None}
        if self._text is not None:
            figures["clip_text"] = 100 * (features @ F.normalize(self._text, dim=-1)).mean().item()
        return figures

    @torch.no_grad()
    def _embed(self) -> None:
        if self._waiting:
            pixels = torch.from_numpy(np.stack(self._waiting)).movedim(-1, 1) / 127.5 - 1
            self._features.append(F.normalize(self._encode(pixels).float(), dim=-1))
            self._waiting.clear()


class ClipPair:
    """A transformers CLIP folder: `see` frames and `read` texts into one space."""

    def __init__(self, folder: Path):
        try:
            self._model: Any = CLIPModel.from_pretrained(folder, local_files_only=True).eval()
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(f"{folder} holds no CLIP pair that transformers can load: {error}") from error

    def see(self, frames: Tensor) -> Tensor:
        """Frames [N, 3, H, W] in [-1, 1] -> features [N, E]; the middle square of a frame, as CLIP was trained."""
        side = min(frames.shape[-2:])
        top, left = ((length - side) // 2 for length in frames.shape[-2:])
        square = frames[..., top : top + side, left : left + side]
        size = self._model.config.vision_config.image_size
        resized = F.interpolate(square, size=(size, size), mode="bicubic", antialias=True)  # as CLIP itself does
        pixels = clip_pixels(resized, size)
        return self._model.visual_projection(self._model.vision_model(pixel_values=pixels).pooler_output)

    @torch.no_grad()
    def read(self, text: str) -> Tensor:
        """The feature of a text, [E]; what is longer than the encoder reads is cut off."""
        length = self._model.config.text_config.max_position_embeddings
        tokens = self._tokenizer(text, truncation=True, max_length=length, return_tensors="pt")
        return self._model.text_projection(self._model.text_model(**tokens).pooler_output)[0]


def clip_text(frames: Iterable[Frame], text: str, pair: ClipPair) -> float | None:
    """The paper's CLIP score: mean over frames of 100 x the cosine between text and frame; higher is better.

    The paper does not say which CLIP, and scores of different ones are not comparable.
    """
    return measure(frames, Likeness(pair.see, pair.read(text)))["clip_text"]


def anchor_distance(frames: Iterable[Frame], encode: Encode) -> float | None:
    """Mean cosine distance of the features of every later frame to those of the first, the anchor: 0 (alike) to 2.

    What the paper measures of APM with LPIPS; LPIPS compares pictures patch by patch, this compares them as wholes.
    None below two frames.
    """
    return measure(frames, Likeness(encode))["clip_anchor_distance"]
