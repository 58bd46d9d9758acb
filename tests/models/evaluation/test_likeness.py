"""CLIP figures against what transformers' own CLIPModel says of the same pictures and text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from longtake.training.vocabulary import make_tokenizer
from models.evaluation.likeness import ClipPair, anchor_distance, clip_text
from models.model import CheckpointError
from tests.models.evaluation.conftest import pan

SIDE = 32
TEXT = "a red circle moving right on a black background"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP pair; small, but of the real classes."""
    torch.manual_seed(0)
    tokenizer, target = make_tokenizer(), tmp_path_factory.mktemp("clip")
    narrow = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**narrow, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id},
        vision_config={**narrow, "image_size": SIDE, "patch_size": 8},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


def test_the_score_is_the_mean_cosine_that_clip_itself_gives(folder: Path):
    frames = pan(1, 20, SIDE)  # more than a batch
    model, tokens = CLIPModel.from_pretrained(folder), make_tokenizer()(TEXT, return_tensors="pt")
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = torch.tensor((frames / 255 - mean) / std, dtype=torch.float32).movedim(-1, 1)
    with torch.no_grad():
        said = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
    cosines = said.logits_per_image / model.logit_scale.exp()
    assert clip_text(frames, TEXT, ClipPair(folder)) == pytest.approx(100 * cosines.mean().item(), abs=1e-3)


def test_clip_sees_the_middle_square(folder: Path):
    pair, frames = ClipPair(folder), torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    wide = torch.cat([torch.ones(2, 3, SIDE, 10), frames, torch.zeros(2, 3, SIDE, 10)], -1)
    assert torch.equal(pair.see(wide), pair.see(frames))


def test_the_distance_to_the_anchor_is_that_of_the_features():
    directions = {0: (1.0, 0.0), 1: (1.0, 0.0), 2: (0.0, 2.0), 3: (-3.0, 0.0)}

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        return torch.tensor([directions[round((p.mean().item() + 1) * 127.5)] for p in pixels])

    frames = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 1, 2, 3)])
    assert anchor_distance(frames, encode) == pytest.approx((0 + 1 + 2) / 3)
    assert anchor_distance(frames[:1], encode) is None


def test_a_folder_without_a_pair_is_refused_in_words(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no CLIP pair"):
        ClipPair(tmp_path)
