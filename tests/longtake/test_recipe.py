"""A recipe says everything, says it once, and a wrong one is refused by the name of the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from longtake.train import changes, train
from longtake.training import recipe, stages
from longtake.training.recipe import RecipeError, read

DOCS = Path("docs/training.md")
GOOD = 'result = "out"\n[cam]\nsteps = 5\nrate = 1e-3\n'


def written(folder: Path, text: str) -> Path:
    (folder / "mine.toml").write_text(text)
    return folder / "mine.toml"


def test_the_bundled_recipes_are_whole():
    tiny, paper = read("tiny-shapes"), read("paper")
    assert list(tiny.stages) == ["vae", "text", "layout", "clip", "first_chunk", "cam", "apm", "refiner"]
    read_all = [read(file.stem) for file in recipe.RECIPES.glob("*.toml")]
    assert {stage for each in read_all for stage in each.stages} <= set(stages.STAGES)
    assert tiny.checkpoint is None and tiny.folder == Path("runs/tiny-shapes")
    assert list(paper.stages) == ["cam", "apm"]
    assert (paper.cam.steps, paper.apm.steps, paper.cam.rate, paper.apm.rate) == (400_000, 1_000, 5e-5, 5e-5)
    assert (paper.apm.drop_text, paper.apm.drop_anchor, paper.apm.drop_both) == (0.05, 0.05, 0.05)
    assert (paper.cam.known_weight, paper.cam.noisier_half, paper.cam.memory_noise) == (1.0, 0.0, 0.0)
    assert (paper.data.fps, paper.data.size) == (3.0, 256)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (GOOD + "batches = 8\n", "there is no key cam.batches"),
        ("colour = 3\n" + GOOD, "there is no key colour"),
        (GOOD.replace("rate = 1e-3\n", ""), "cam.rate is missing"),
        (GOOD + "minutes = 3\n", "cam: it ends after `minutes` or after `steps`"),
        (GOOD.replace("steps = 5\n", ""), "cam: it ends after `minutes` or after `steps`"),
        (GOOD + 'precision = "fp8"\n', "cam.precision: Input should be 'no', 'fp16' or 'bf16', not 'fp8'"),
        (GOOD + "[data]\nsize = 60\n", "data.size: Input should be a multiple of 8, not 60"),
        (GOOD.replace("[cam]", "[apm]") + "anchor_frames = [1, 40]\n", "anchor_frames are [first, last] within"),
        (GOOD + "[every]\nratio = 3\n", "there is no key cam.ratio"),
        (GOOD + "rate = ", "Invalid value"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, wrong: str, said: str):
    file = written(tmp_path, wrong)
    with pytest.raises(RecipeError) as refused:
        read(file)
    assert said in str(refused.value) and str(file) in str(refused.value)


def test_a_recipe_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(RecipeError, match="no recipe 'mine': neither a file, nor one of paper, .*tiny-shapes, .*"):
        read("mine")


def test_a_stage_is_told_what_every_stage_is_told_unless_its_table_says_otherwise(tmp_path: Path):
    told = read(written(tmp_path, GOOD + "ema = 0.9\n[every]\nseed = 3\nminutes = 9\nema = 0.5\n")).stages["cam"]
    assert (told.seed, told.ema, told.steps, told.minutes) == (3, 0.9, 5, None)


def test_options_override_the_recipe(tmp_path: Path):
    given = changes(("cam", "all"), minutes=2.0, steps=None, processes=3, seed=None, runs=Path("r"), fps=8.0)
    told = read(written(tmp_path, GOOD), given)
    assert (told.cam.minutes, told.cam.steps, told.cam.processes, told.cam.seed) == (2.0, None, 3, 1)
    assert told.folder == Path("r/out") and told.data.fps == 8.0
    assert told.vae is None


def test_the_command_says_what_it_refuses_in_one_sentence(tmp_path: Path):
    runner = CliRunner()
    file = written(tmp_path, GOOD)
    for arguments, code, said in (
        (["cam", "--minutes", "1", "--steps", "1"], 2, "not both"),
        (["vae", "--config", str(file)], 2, "has no table [vae]"),
        (["cam", "--config", str(file), "--fps", "-1"], 1, "data.fps: Input should be greater than 0"),
        (["cam", "--config", str(file), "--runs", str(tmp_path / "runs")], 1, "lacks tokenizer, text_encoder, vae"),
        (["cam", "--config", str(file), "--checkpoint", "nowhere", "--runs", str(tmp_path)], 1, "no checkpoint"),
    ):
        refused = runner.invoke(train, arguments)
        assert refused.exit_code == code and said in refused.output, refused.output


def test_every_key_is_explained():
    page = DOCS.read_text()
    models = (recipe.Recipe, recipe.Data, recipe.StageRecipe, recipe.CamRecipe, recipe.ApmRecipe)
    keys = {key for model in models for key in model.model_fields} - set(recipe.STAGES)
    assert not [key for key in sorted(keys) if f"`{key}`" not in page]
