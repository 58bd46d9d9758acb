"""A clip by the whole cascade, from a folder in diffusers layout; and as a first chunk that is gone on from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import catalog
from models.first_chunk import make_a_video as source
from models.make_a_video.enlargement import Enlargement
from models.make_a_video.interpolation import Filling
from models.make_a_video.pipeline import Clip, MakeAVideoPipeline, draw
from models.recipe import Recipe
from tests.models.first_chunk.asked import REQUEST, WISH
from tests.support import make_a_video as folders

SHORT = Clip(prompt="a horse", frames=4, steps=2, filling=Filling(steps=2))
LARGER = Enlargement(factor=2, steps=2)
SHARPER = Enlargement(factor=2, steps=2, through_time=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.folder(tmp_path_factory.mktemp("mav") / "make-a-video")


@pytest.fixture(scope="module")
def parts(folder: Path) -> MakeAVideoPipeline:
    return MakeAVideoPipeline.from_pretrained(folder, use_safetensors=True)


def test_every_stage_makes_the_clip_longer_or_larger(parts: MakeAVideoPipeline) -> None:
    small = draw(parts, SHORT)
    assert small.shape == (4, 16, 16, 3) and small.dtype == np.uint8
    longer = draw(parts, replace(SHORT, factor=5))
    assert longer.shape == (16, 16, 16, 3)
    assert np.array_equal(longer[::5], small), "the decoder's own frames stay as they are"
    large = draw(parts, replace(SHORT, factor=2, larger=LARGER, sharper=SHARPER))
    assert large.shape == (7, 64, 64, 3)


@pytest.mark.parametrize(
    "change", [{"prompt": "clear"}, {"seed": 1}, {"fps": 24.0}, {"prior_scale": 1.0}, {"guidance_scale": 1.0}]
)
def test_what_is_asked_takes_effect(parts: MakeAVideoPipeline, change: dict[str, Any]) -> None:
    one = draw(parts, SHORT)
    assert np.array_equal(one, draw(parts, SHORT))
    assert not np.array_equal(one, draw(parts, replace(SHORT, **change)))


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    parts = MakeAVideoPipeline.from_pretrained(folders.folder(tmp_path / "plain", enlarges=False))
    with pytest.raises(ValueError, match="no enlarger"):
        draw(parts, replace(SHORT, larger=LARGER))


def test_the_streaming_network_goes_on_from_its_clip(pipeline: Any, folder: Path) -> None:
    begun = replace(catalog.find("tiny-shapes"), first_chunk="make-a-video", first_chunk_steps=2)
    loaded = source.MakeAVideo(source.load(str(folder)).pipeline, larger=LARGER, sharper=None)
    made = list(Recipe(pipeline, begun, replace(REQUEST, steps=2), {begun.first_chunk: loaded}).generate())
    frames = np.concatenate([result.frames for _, result in made])
    assert frames.shape == (24, 64, 64, 3)
    wish = replace(WISH, prompt=REQUEST.prompt, image=None, seed=REQUEST.seed, guidance_scale=REQUEST.guidance_scale)
    told: list[tuple[int, int]] = []
    assert np.array_equal(frames[:16], loaded.draw(wish, lambda step, steps: told.append((step, steps))))
    assert told == [(1, 2), (2, 2)]


def test_frames_are_enlarged_as_far_as_is_wished_for(folder: Path) -> None:
    loaded = source.load(str(folder))  # 16, and 64 and 192 pixels
    counts = [sum(how is not None for how in loaded._enlargements(side)) for side in (8, 16, 17, 64, 65, 500)]
    assert counts == [0, 0, 1, 1, 2, 2]
