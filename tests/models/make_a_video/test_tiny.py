"""The bundled tiny-make-a-video does what it is offered for: longer and larger video of the shapes world."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.loading import BUNDLED
from models.make_a_video.between import Between
from models.make_a_video.pipeline import MakeAVideoPipeline
from models.make_a_video.upscaling import Upscaler
from models.shapes import world
from models.shapes.language import Actor, Caption


@pytest.fixture(scope="module")
def parts() -> MakeAVideoPipeline:
    torch.set_num_threads(1)
    return MakeAVideoPipeline.from_pretrained(BUNDLED / "tiny-make-a-video", use_safetensors=True).to(torch.float32)


def scene(motion: str = "moving right", number: int = 0) -> world.Scene:
    actor = Actor("red", "square", motion, "large", None if motion == "staying still" else "quickly")
    return world.scene(Caption((actor,), "navy"), random.Random(number))


def drawn(of: world.Scene, frames: Sequence[float], size: int) -> np.ndarray:
    pixels = (world.draw(of, frames, size) + 1) * 127.5
    return pixels.round().byte().permute(0, 2, 3, 1).numpy()


def error(made: np.ndarray, real: np.ndarray) -> float:
    return float(np.square(made.astype(float) - real).mean())


def between(parts: MakeAVideoPipeline, factor: int) -> Between:
    return Between(parts.interpolator, parts.vae, parts.scheduler, factor, seed=1)


@pytest.mark.parametrize("size", [64, 128])
def test_frames_between_are_nearer_to_the_truth_than_a_blend(parts: MakeAVideoPipeline, size: int) -> None:
    made_error, blend_error = [], []
    for number in range(3):
        moving = scene("moving up and right", number)
        given = drawn(moving, range(4), size)
        made = between(parts, 5).run(given)
        real = drawn(moving, [k / 5 for k in range(16)], size)
        assert np.array_equal(made[::5], given)
        shares = (np.arange(16) % 5 / 5)[:, None, None, None]
        before, after = given[np.arange(16) // 5], given[np.minimum(np.arange(16) // 5 + 1, 3)]
        made_error.append(error(made, real))
        blend_error.append(error(before + shares * (after.astype(float) - before), real))
    assert np.mean(made_error) < 0.8 * np.mean(blend_error)


def test_what_is_at_rest_does_not_flicker(parts: MakeAVideoPipeline) -> None:
    still = drawn(scene("staying still"), [0, 1, 2], 64)
    made = between(parts, 4).run(still).astype(float)
    assert np.abs(made - made[:1]).mean() < 0.5  # grey levels of 255
    larger = Upscaler(parts.sharpener, parts.scheduler, seed=1).run(still)
    assert (larger == larger[:1]).all()


@pytest.mark.parametrize("size", [64, 128])
def test_enlarged_frames_are_nearer_to_the_truth_than_bicubic_ones(parts: MakeAVideoPipeline, size: int) -> None:
    moving = scene()
    small, large = drawn(moving, [0, 9], size), drawn(moving, [0, 9], 2 * size)
    made = Upscaler(parts.sharpener, parts.scheduler, seed=1).run(small)
    planes = torch.from_numpy(small).permute(0, 3, 1, 2).float()
    bicubic = F.interpolate(planes, scale_factor=2, mode="bicubic", align_corners=False).clamp(0, 255)
    assert made.shape == large.shape
    assert error(made, large) < 0.5 * error(bicubic.permute(0, 2, 3, 1).numpy(), large)
