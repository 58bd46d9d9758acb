"""The anchor reaches CLIP as it did when APM was trained: resized and blurred in kornia's way."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from models.streaming_t2v.anchor import clip_pixels
from tests.parity.weights import parity_file

RECORDED = Path(__file__).with_name("clip_pixels.safetensors")  # of random pixels, by kornia


def test_a_strongly_reduced_frame_is_blurred_as_kornia_blurs_it():
    with safe_open(RECORDED, "pt") as file:
        config, want = json.loads(file.metadata()["config"]), file.get_tensor("expected")
    shape = (1, 3, config["height"], config["width"])
    frames = np.random.default_rng(config["seed"]).random(shape, dtype=np.float32) * 2 - 1
    assert torch.allclose(clip_pixels(torch.from_numpy(frames), want.shape[-1]), want, atol=1e-5)


@pytest.mark.parity
def test_the_published_pixels():
    with safe_open(parity_file("videocrafter_image.safetensors"), "pt") as file:
        image, want = file.get_tensor("image_uint8"), file.get_tensor("expected.pixel_values")
    assert torch.allclose(clip_pixels((image.float() / 255 - 0.5) * 2, 224), want, atol=1e-5)


def test_a_frame_of_the_right_size_is_only_normalised():
    grey = clip_pixels(torch.zeros(1, 3, 32, 32), 32)
    assert torch.equal(grey, grey[:, :, :1, :1].expand_as(grey))
