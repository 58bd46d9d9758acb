"""The tiny Make-A-Video's stages: text for the prior alone, Dᵗ begins as D, and what lies between frames is exact."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from longtake.checkpoints.inventory import problems
from longtake.training.bundle import BUNDLES, bundle, unbundle
from longtake.training.clip_pair import look_alikes
from longtake.training.make_a_video import decoder, interpolator, prior, sharpener
from longtake.training.make_a_video.rates import rate
from longtake.training.recipe import read
from models.loading import BUNDLED
from models.make_a_video.pipeline import Clip, MakeAVideoPipeline, draw
from models.shapes.language import SHAPES

RECIPE = read("tiny-make-a-video")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the stages begin; small batches."""
    trained = tmp_path_factory.mktemp("make-a-video") / "trained"
    unbundle(BUNDLED / "tiny-shapes", trained, [*RECIPE.parts, "image_encoder"])  # as if `clip` were trained
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "PICTURES", 6)
        patch.setattr(decoder, "CLIPS", 1)
        patch.setattr(decoder, "FRAMES", 4)
        patch.setattr(interpolator, "SIZES", ((64, 1, 1.0),))
        patch.setattr(sharpener, "COUNT", 2)
        patch.setattr(prior, "COUNT", 16)
        yield trained


def losses(stage: Any, batch: Any, steps: int) -> list[float]:
    """Of so many steps on one batch with one noise."""
    optimizer = torch.optim.AdamW([p for p in stage.learner.parameters() if p.requires_grad], 1e-3)
    seen = []
    for _ in range(steps):
        torch.manual_seed(1)
        loss = stage.loss(batch, random.Random(1), 0.5)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is None for part in stage.frozen for p in part.parameters())
        optimizer.step()
        seen.append(loss.item())
    return seen


@pytest.mark.long
@pytest.mark.timeout(120)
def test_every_stage_learns_and_all_of_them_are_one_checkpoint(begun: Path, tmp_path: Path) -> None:
    for build in (
        prior.PriorStage,
        decoder.ImageDecoderStage,
        decoder.VideoDecoderStage,
        interpolator.InterpolatorStage,
        sharpener.SharpenerStage,
    ):
        stage: Any = build(begun)
        seen = losses(stage, stage.draw(random.Random(3), 0.5), 4)
        assert seen[-1] < seen[0], build.__name__
        if isinstance(stage, decoder.VideoDecoderStage | decoder.ImageDecoderStage):
            stage.finish(stage.learner)
    for build in (prior.PriorStage, interpolator.InterpolatorStage, sharpener.SharpenerStage):
        stage = build(begun)
        assert stage.finish(stage.learner)
    (what,) = BUNDLES["tiny-make-a-video"]
    bundle(begun, tmp_path / what.name, what)
    assert not list(problems(tmp_path / what.name, lambda file: None))
    parts = MakeAVideoPipeline.from_pretrained(tmp_path / what.name).to(torch.float32)
    assert parts.config.sharpener_factor == 2
    frames = draw(parts, Clip("a red circle moving left on a black background", frames=3, steps=1, factor=2))
    assert frames.shape == (5, 64, 64, 3)


def test_the_video_decoder_begins_as_the_image_decoder(begun: Path) -> None:
    torch.manual_seed(0)
    image = decoder.ImageDecoderStage(begun)
    image.finish(image.learner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder.VideoDecoderStage, "name", "not_there_yet")
        video = decoder.VideoDecoderStage(begun, RECIPE.stages["video_decoder"])
    batch = video.draw(random.Random(0), 0.5)
    noisy, t, embedding = torch.randn(2, 4, 4, 8, 8), torch.tensor([3, 700]), torch.randn(2, 64)
    with torch.no_grad():
        made = video.said(noisy, t, embedding, batch)
        frames = [image.said(noisy[:, :, k : k + 1], t, embedding, batch) for k in range(4)]
    torch.testing.assert_close(made, torch.cat(frames, dim=2), atol=1e-5, rtol=1e-5)


def test_only_the_prior_reads_captions(begun: Path) -> None:
    stage = decoder.ImageDecoderStage(begun)
    batch = stage.draw(random.Random(0), 0.0)
    assert batch.captions
    one, other = (losses(decoder.ImageDecoderStage(begun), said, 1) for said in (batch, replace(batch, captions=[])))
    assert one == pytest.approx(other)
    assert decoder.VideoDecoderStage.draw(stage, random.Random(0), 0.0).captions == []  # type: ignore[arg-type]
    reader = prior.PriorStage(begun)
    pixels, captions = reader.draw(random.Random(0), 0.0)
    assert losses(reader, (pixels, captions), 1) != losses(prior.PriorStage(begun), (pixels, captions[::-1]), 1)


def test_rates_go_from_fast_to_slow() -> None:
    rng = random.Random(0)
    means = [fmean(rate(rng, done) for _ in range(500)) for done in (0.0, 0.5, 1.0)]
    assert means == sorted(means, reverse=True) and means[0] > 20 and means[2] < 10
    assert all(1 <= rate(rng, done / 100) <= 30 for done in range(101))


def test_masks_are_mostly_of_frames_between_known_ones() -> None:
    rng = random.Random(0)
    seen = Counter(interpolator.mask(rng, 16, 5) for _ in range(1000))
    assert set(seen) == {(0, 5, 10, 15), (0,), tuple(range(8))}
    assert seen[(0, 5, 10, 15)] > 800 and seen[(0,)] > 20 and seen[tuple(range(8))] > 20


def test_what_is_to_be_filled_in_is_what_the_known_frames_do_not_say(begun: Path) -> None:
    stage = interpolator.InterpolatorStage(begun)
    batch = stage.draw(random.Random(1), 0.0)
    latents = torch.randn(interpolator.REPEATS, 4, batch.pixels.shape[1], 8, 8)
    planes = stage.expected(latents, batch.known)
    for clip, laid, at in zip(latents, planes, batch.known, strict=True):
        assert torch.equal(laid[:4, list(at)], clip[:, list(at)])
        assert laid[4, :, 0, 0].nonzero().flatten().tolist() == list(at)
    still = latents[:, :, :1].expand_as(latents)
    torch.testing.assert_close(stage.expected(still, batch.known)[:, :4], still)


@pytest.mark.parametrize("size", sharpener.SIZES)
def test_a_small_picture_and_its_large_one_show_the_same(size: int) -> None:
    small, large = sharpener.pairs(random.Random(0), 4, size)
    assert small.shape == (4, 3, 64, 64) and large.shape == (4, 3, 128, 128)
    assert (F.avg_pool2d(large, 2) - small).abs().mean() < 0.01
    assert small.flatten(2).std(-1).amax(1).min() > 0.05, "an actor is in every one of them"


def test_look_alikes_have_nothing_but_their_shape_to_tell_them_apart():
    pixels, captions = look_alikes(random.Random(4), 8)
    for group in range(0, 8, 4):
        words = [caption.split() for caption in captions[group : group + 4]]
        others = {tuple(word for word in said if word not in SHAPES) for said in words}
        assert len(others) == 1 and len(set(captions[group : group + 4])) == 4
        drawn = pixels[group : group + 4]
        assert all((one != other).any() for one, other in itertools.combinations(drawn, 2))
        assert (drawn.amax(0) - drawn.amin(0) > 0.1).any(0).float().mean() < 0.2  # but for the shape's own pixels
