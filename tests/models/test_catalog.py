"""The catalogue: pairs of sizes, and which weights a model is made of."""

import pytest

from models import catalog
from models.catalog import CatalogError


@pytest.fixture(params=catalog.MODELS.values(), ids=lambda model: model.name)
def model(request):
    return request.param


def test_every_size_is_one_of_a_pair_and_says_by_itself_whether_it_is_refined(model):
    assert model.sizes[:2] == (model.size, model.refined_size)
    assert not {size for size, _ in model.pairs} & set(model.refined_sizes)
    for size, refined in model.pairs:
        assert model.at(str(refined)).pairs[0] == (size, refined)
        assert model.at(str(size)).size == size


def test_a_model_at_a_size_has_lost_none_of_its_sizes(model):
    for size in map(str, model.sizes):
        assert set(model.at(size).pairs) == set(model.pairs)
    assert model.at(str(model.size)) == model


def test_streaming_sizes_suit_the_networks(model):
    """Three halvings of an eighth: the networks' levels come out even, so nothing is cut or padded."""
    assert all(
        side % (8 if model.bundled else 64) == 0 for size, _ in model.pairs for side in (size.width, size.height)
    )


def test_a_refined_video_has_the_shape_of_what_it_was_refined_from(model):
    for size, refined in model.pairs:
        assert size.width / size.height == pytest.approx(refined.width / refined.height, rel=0.02)


def test_a_size_that_there_is_not_is_refused(model):
    with pytest.raises(CatalogError, match="size is '1x1'"):
        model.at("1x1")


def test_a_model_is_offered_when_all_its_weights_are_placed():
    bundled = {model.name for model in catalog.MODELS.values() if model.bundled}
    assert "tiny-shapes" in bundled
    assert set(catalog.offered(["svd", "animatediff"])) == bundled
    assert set(catalog.offered(["streaming-t2v"])) == bundled | {"streaming-t2v"}
    assert set(catalog.offered(["streaming-t2v", "svd"])) == bundled | {"streaming-t2v", "streaming-t2v-svd"}
