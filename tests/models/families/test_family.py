"""A family is one module: found in its folder, described from what a checkpoint says, and refused in a sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models import catalog, families
from models.families.family import Facts, Family
from models.loading import load_model
from models.model import CatalogError, CheckpointError, Model, Size
from models.recipe import Recipe
from models.request import default_request
from tests.support.tiny import drift

FACTS = Facts({"_class_name": "DriftPipeline"})


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    """The made-up one, beside Longtake's own."""
    families.look_in(drift.write_family(tmp_path / "families"))
    yield families.known()["drift"]
    families.look_in(None)


@pytest.fixture
def model(family: Family, tmp_path: Path) -> Model:
    return family.describe("drifting", str(drift.build(tmp_path / "drifting")), FACTS, **drift.OPTIONS)


def test_a_family_is_found_where_its_module_lies_and_nowhere_else(family):
    assert families.known().keys() > {"drift"}
    families.look_in(None)
    assert "drift" not in families.known()


def test_a_module_that_is_found_needs_no_tensors():
    """The API reads every family, and there is no torch beside it."""
    code = "import sys; from models import families; assert families.known(); assert not {'torch'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_the_family_says_becomes_an_entry_of_the_catalogue(model):
    assert (model.fps, model.chunk_frames, model.new_frames) == (8, 8, 8)
    assert [str(size) for size in model.sizes] == ["64x64", "96x64"]
    assert not model.refined_sizes and model.turbo is None
    assert model.inputs == ("text",) and not model.needs_image
    assert dict(model.options) == {"pixels_a_frame": 3}
    assert model.composed() == model
    with pytest.raises(CatalogError, match="recipe.streamer is 'streaming-t2v'; drifting takes own"):
        model.composed(None, "streaming-t2v")


def test_a_size_a_length_or_an_option_that_does_not_fit_is_refused(family):
    with pytest.raises(CatalogError, match="size is '65x64'; both sides of drift are multiples of 8"):
        family.describe("x", "y", FACTS, sizes=(Size(65, 64),))
    with pytest.raises(CatalogError, match="drift has no option speed; there is pixels_a_frame"):
        family.describe("x", "y", FACTS, speed=3)


def test_a_family_makes_the_same_video_whoever_makes_its_units(model):
    request = default_request(model, "a boat", num_frames=20, seed=3, refine=False)
    videos = []
    for _ in range(2):
        recipe = Recipe(load_model(model, model.checkpoint), model, request)
        videos.append([made.frames for _, made in recipe.generate()])
    assert [len(frames) for frames in videos[0]] == [8, 8, 4]
    assert all((one == other).all() for one, other in zip(*videos, strict=True))


def test_its_networks_are_one_threads_at_a_time(model):
    request = default_request(model, "a boat", num_frames=8, seed=3, refine=False)
    assert not Recipe(load_model(model, model.checkpoint), model, request).is_shared


def test_a_video_that_cannot_be_refined_says_so(model):
    with pytest.raises(CatalogError, match="no refiner"):
        Recipe(
            load_model(model, model.checkpoint),
            model,
            default_request(model, "a boat", num_frames=8, seed=3, refine=True),
        )


def test_a_model_whose_family_is_gone_is_refused_by_name(model):
    families.look_in(None)
    with pytest.raises(CatalogError, match="drifting is of the family drift; there is"):
        load_model(model, model.checkpoint)


def test_a_folder_that_is_no_checkpoint_is_refused(model, tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no model_index\.json"):
        load_model(model, tmp_path)


def test_what_is_entered_is_offered_and_goes_when_something_else_is(model):
    catalog.enter([model])
    assert catalog.offered(())["drifting"] == model
    catalog.enter([])
    assert "drifting" not in catalog.MODELS and "tiny-shapes" in catalog.MODELS
    with pytest.raises(CatalogError, match="tiny-shapes is a model of Longtake's own"):
        catalog.enter([replace(model, name="tiny-shapes")])
