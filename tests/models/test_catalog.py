"""The catalogue: pairs of sizes, and which weights a model is made of."""

from itertools import product
from pathlib import Path

import pytest

from models import catalog, systems
from models.loading import BUNDLED
from models.model import CatalogError


@pytest.fixture(params=catalog.MODELS.values(), ids=lambda model: model.name)
def model(request):
    return request.param


def test_every_size_is_one_of_a_pair_and_says_by_itself_whether_it_is_refined(model):
    assert model.sizes[:2] == (model.size, model.refined_size) or not model.refined_sizes
    assert not {size for size, _ in model.pairs} & set(model.refined_sizes)
    for size, refined in model.pairs:
        assert model.at(str(refined)).pairs[0] == (size, refined)
        assert (refined in model.refined_sizes) == (refined != size)
        assert model.at(str(size)).size == size


def test_what_may_be_done_with_it_stands_in_the_table(model):
    (row,) = (line for line in Path("docs/models.md").read_text().splitlines() if f"`{model.name}`" in line[:130])
    *_, sell, pass_on = (cell.strip() for cell in row.strip("|").split("|"))
    assert sell.startswith("yes") == pass_on.startswith("yes") == (model.licence == "Apache-2.0")


def test_a_model_at_a_size_has_lost_none_of_its_sizes(model):
    for size in map(str, model.sizes):
        assert set(model.at(size).pairs) == set(model.pairs)
    assert model.at(str(model.size)) == model


def test_streaming_sizes_suit_the_networks(model):
    """Three halvings of an eighth: the networks' levels come out even, so nothing is cut or padded."""
    even = 8 if model.name.startswith("tiny-") else 64
    assert all(side % even == 0 for size, _ in model.pairs for side in (size.width, size.height))


def test_a_refined_video_has_the_shape_of_what_it_was_refined_from(model):
    for size, refined in model.pairs:
        assert size.width / size.height == pytest.approx(refined.width / refined.height, rel=0.02)


def test_a_size_that_there_is_not_is_refused(model):
    with pytest.raises(CatalogError, match="size is '1x1'"):
        model.at("1x1")


def test_a_model_is_offered_when_all_its_weights_are_placed():
    bundled = set(catalog.offered(()))
    assert "tiny-shapes" in bundled
    assert set(catalog.offered(["svd", "animatediff"])) == bundled
    assert set(catalog.offered(["streaming-t2v"])) == bundled | {"streaming-t2v"}
    assert set(catalog.offered(["streaming-t2v", "svd"])) == bundled | {"streaming-t2v", "streaming-t2v-svd"}


def test_weights_that_come_with_longtake_are_there_and_no_others():
    there = {folder.name for folder in BUNDLED.iterdir() if (folder / "model_index.json").is_file()}
    assert set(catalog.BUNDLED) == there


def test_a_recipe_is_of_systems_that_go_together(model):
    for first_chunk, streamer in product((None, *model.first_chunks), (None, *model.streamers)):
        then = streamer or model.streamer
        if then in systems.ALONE and first_chunk not in (None, then):
            with pytest.raises(CatalogError, match="its own first chunk"):
                model.composed(first_chunk, streamer)
            continue
        made = model.composed(first_chunk, streamer)
        assert made.streamer == then
        assert (made.chunk_frames, made.conditioning_frames) == systems.MEMORY[made.streamer]
        assert made.weights == {model.checkpoint, *map(model.place, made.systems)}
        assert model.composed() == model


def test_a_model_takes_the_shape_nearest_to_a_clips():
    editor = catalog.find("instruct-pix2pix")
    shapes = ("720x720", "1280x720", "1024x576", "128x256")
    assert [str(editor.shaped(size).size) for size in shapes] == ["512x512", "768x448", "768x448", "448x768"]
