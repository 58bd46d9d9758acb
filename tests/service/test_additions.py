"""Models that were added are read as they were written; a file that says something else is refused by what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import catalog, families
from models.families.family import Facts
from models.model import CatalogError, Model, Size
from service import additions
from service.settings import Settings
from tests.support.tiny import drift


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a service with the made-up family; afterwards the catalogue is as it was."""
    yield Settings(models_file=tmp_path / "models.json", families_dir=drift.write_family(tmp_path / "families"))
    families.look_in(None)
    catalog.enter([])


@pytest.fixture
def model(settings: Settings) -> Model:
    families.look_in(settings.families_dir)
    facts = Facts({"_class_name": "DriftPipeline"})
    return families.known()["drift"].describe(
        "drifting", "/weights", facts, sizes=(Size(32, 32), Size(64, 32)), licence="mit", pixels_a_frame=5
    )


def test_a_model_is_read_as_it_was_written(settings, model):
    additions.write(settings.added_models, [model])
    assert additions.read(settings.added_models) == [model]
    assert "preset" not in json.loads(settings.added_models.read_text())["models"][0]


def test_every_process_enters_what_the_file_says_and_nothing_where_there_is_none(settings, model):
    additions.settle(settings)
    assert "drifting" not in catalog.MODELS
    additions.write(settings.added_models, [model])
    additions.settle(settings)
    assert catalog.find("drifting") == model
    additions.settle(Settings(data_dir=settings.added_models.parent / "nowhere"))
    assert "drifting" not in catalog.MODELS


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("{", "Expecting"),
        ("[]", "list indices"),
        ('{"models": [3]}', "an entry is a int, not an object"),
        ('{"models": [{"name": "x", "colour": "red"}]}', "an entry has no 'colour'"),
        ('{"models": [{"name": "x"}]}', "description: "),
        ('{"models": [{"name": "x", "read_prompt": "os.system"}]}', "an entry has no 'read_prompt'"),
    ],
)
def test_a_file_that_is_not_of_models_is_refused(settings, said, why):
    settings.added_models.write_text(said)
    with pytest.raises(CatalogError, match="is not a file of models as `longtake models add` writes it") as refused:
        additions.settle(settings)
    assert why in str(refused.value)


def test_a_model_of_a_family_that_is_not_here_is_refused(settings, model):
    additions.write(settings.added_models, [model])
    with pytest.raises(CatalogError, match="drifting is of the family drift"):
        additions.settle(settings.model_copy(update={"families_dir": None}))
