"""The stage of the diffusion transformer: all of it learns, and what it has learned streams in tiny-shapes' place."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.training.bundle import TINY_SHAPES_DIT, bundle
from longtake.training.recipe import Recipe, read
from longtake.training.stages import STAGES, open_folder
from longtake.training.transformer import TransformerStage
from models import catalog
from models.loading import load_pipeline
from models.recipe import Recipe as Video
from models.request import default_request


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    changes = {"runs": tmp_path_factory.mktemp("runs"), "transformer": {"batch": 2, "blocks": 2}}
    recipe = read("tiny-shapes-dit", changes)
    open_folder(recipe)
    return recipe


def stage_of(recipe: Recipe, **told: Any) -> TransformerStage:
    torch.manual_seed(0)
    stage: TransformerStage = STAGES["transformer"](recipe.folder, recipe.stages["transformer"].model_copy(update=told))
    return stage


def gradients(stage: TransformerStage, steps: int = 2) -> set[str]:
    """Names of the weights that a few steps move; the first one only those that are not behind a zero."""
    optimizer = torch.optim.SGD(stage.learner.parameters(), lr=1.0)
    for step in range(steps):
        optimizer.zero_grad(set_to_none=True)
        rng = random.Random(step)
        stage.loss(stage.draw(rng, 0.0), rng, 0.0).backward()
        optimizer.step()
    return {name for name, weight in stage.learner.named_parameters() if weight.grad is not None and weight.grad.any()}


def test_every_weight_learns_with_memory_and_anchor(recipe: Recipe) -> None:
    stage = stage_of(recipe, drop_memory=0.0, drop_anchor=0.0, drop_both=0.0)
    idle = {name for name, _ in stage.learner.named_parameters()} - gradients(stage, steps=3)
    assert not idle


def test_without_memory_cam_learns_nothing_and_the_network_does(recipe: Recipe) -> None:
    moved = gradients(stage_of(recipe, drop_memory=1.0))
    assert any(name.startswith("unet.blocks") for name in moved)
    assert not any(name.startswith(("cam.", "unet.cam_injectors")) for name in moved)


def test_what_was_trained_is_collected_and_streams(recipe: Recipe, tmp_path: Path) -> None:
    stage = stage_of(recipe)
    stage.finish(stage.learner)
    bundle(recipe.folder, tmp_path / TINY_SHAPES_DIT.name, TINY_SHAPES_DIT)
    pipeline = load_pipeline(tmp_path / TINY_SHAPES_DIT.name, device="cpu")
    assert type(pipeline.unet).__name__ == "StreamingTransformer3D"
    prompt = "a red circle moving left on a black background"
    request = default_request(catalog.find("tiny-shapes"), prompt, num_frames=24, seed=1, refine=False)
    made = list(Video(pipeline, catalog.find("tiny-shapes"), request).generate())
    assert [len(result.frames) for _, result in made] == [16, 8]
