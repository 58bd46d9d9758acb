"""`longtake models add` says what a checkpoint is and what will be done with it, and takes none that would run code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file

from longtake.command import main
from models import catalog, families
from tests.support.hub import SHA, hub
from tests.support.tiny import drift, last_frame, ltx2


@pytest.fixture
def here(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a service with the made-up family."""
    yield {
        "LONGTAKE_MODELS_FILE": str(tmp_path / "models.json"),
        "LONGTAKE_FAMILIES_DIR": str(drift.write_family(tmp_path / "families")),
        "COLUMNS": "200",
    }
    families.look_in(None)
    catalog.enter([])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Of the made-up family, with a network and a card."""
    folder = drift.build(tmp_path / "hub/somebody/Drifting-1B")
    index = {"_class_name": "DriftPipeline", "network": ["diffusers", "UNet2DModel"], "extra": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "network").mkdir()
    (folder / "network/config.json").write_text(json.dumps({"sample_size": 8}))
    save_file({"weight": torch.zeros(2_500_000)}, folder / "network/diffusion_pytorch_model.safetensors")
    (folder / "README.md").write_text("---\nlicense: bsd-3-clause\ntags: [video]\n---\n# Drifting\n")
    return folder


def models(here: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], env=here)


def test_a_folder_is_described_and_offered_from_then_on(here, checkpoint):
    told = models(here, "add", str(checkpoint), "--size", "96x64", "--set", "pixels_a_frame=4")
    assert told.exit_code == 0, told.output
    for said in (
        "drifting-1b: Noise that drifts",
        "From text: 96x64 at 8",
        "8 a chunk (1 s)",
        "bsd-3-clause",
        "0.01 GB",
    ):
        assert said in told.output
    assert "drifting-1b" in models(here, "list").output
    catalog.enter([])
    again = models(here, "add", str(checkpoint), "--name", "other")
    assert again.exit_code == 0 and {"drifting-1b", "other"} <= catalog.MODELS.keys()
    assert models(here, "remove", "other").exit_code == 0
    listed = models(here, "list").output
    assert "drifting-1b" in listed and "other" not in listed
    assert "other has not been added; there is drifting-1b" in models(here, "remove", "other").output


def test_sound_and_the_parts_that_make_it_are_known(here, tmp_path):
    """Its index names a folder within diffusers as if it were a library; any other such name stays refused."""
    told = models(here, "add", str(ltx2.build(tmp_path / "ltx2")), "--size", str(ltx2.SIZE))
    assert told.exit_code == 0 and f"{ltx2.SIZE} at 24 frames a second, with sound." in told.output


def test_a_model_whose_family_is_gone_can_be_removed(here, checkpoint):
    assert models(here, "add", str(checkpoint)).exit_code == 0
    gone = here | {"LONGTAKE_FAMILIES_DIR": str(checkpoint)}
    assert "drifting-1b is of the family drift" in models(gone, "list").output
    assert models(gone, "remove", "drifting-1b").exit_code == 0
    assert models(gone, "list").exit_code == 0


def test_of_a_hub_id_texts_are_fetched_and_no_weights(here, checkpoint, tmp_path):
    with hub(tmp_path / "hub") as (address, fetched):
        own = {
            **os.environ,
            **here,
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "cache"),
            "NO_PROXY": "127.0.0.1",
        }
        add = [sys.executable, "-m", "longtake", "models", "add"]
        told = subprocess.run([*add, "somebody/Drifting-1B"], env=own, capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        assert "bsd-3-clause" in told.stdout and "0.01 GB" in told.stdout
        assert set(fetched) == {"model_index.json", "config.json", "README.md"}
        entry = json.loads(Path(here["LONGTAKE_MODELS_FILE"]).read_text())["models"][0]
        assert entry["name"] == "drifting-1b" and entry["licence"] == "bsd-3-clause"
        assert entry["checkpoint"] == f"somebody/Drifting-1B@{SHA}"  # what is uploaded later was not looked at
        absent = subprocess.run([*add, "somebody/else"], env=own, capture_output=True, text=True)
        assert absent.returncode == 1 and "The Hub does not tell of somebody/else" in absent.stderr


def test_a_model_on_the_hub_is_fetched_without_pickles_and_makes_videos(here, tmp_path):
    """Of the revision that was looked at; and what stands beside it is looked at too."""
    weights = last_frame.build(tmp_path / "hub/somebody/Wan-Tiny")
    (weights / "transformer/diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    with hub(tmp_path / "hub") as (address, fetched):
        own = {
            **os.environ,
            **here,
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "cache"),
            "NO_PROXY": "127.0.0.1",
        }

        def longtake(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([sys.executable, "-m", "longtake", *words], env=own, capture_output=True, text=True)

        options = [f"--set={name}={value}" for name, value in last_frame.OPTIONS.items()]
        added = longtake("models", "add", "somebody/Wan-Tiny", "--size", str(last_frame.SIZE), *options)
        assert added.returncode == 0, added.stderr
        Image.new("RGB", (64, 48), "red").save(tmp_path / "red.png")
        asked = ("--image", str(tmp_path / "red.png"), "--frames", "6", "--steps", "1", "-o", str(tmp_path / "red.mp4"))
        made = longtake("generate", "a boat", "--model", "wan-tiny", *asked)
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "red.mp4").stat().st_size > 500
        assert not [name for name in fetched if name.endswith(".bin")]


def code(folder: Path) -> None:
    (folder / "network/modeling.py").write_text("print('mine')")


def pipeline_of_its_own(folder: Path) -> None:
    rewrite(folder, _class_name=["pipeline", "DriftPipeline"])


def component_of_its_own(folder: Path) -> None:
    rewrite(folder, network=["network", "Network"])


def remote(folder: Path) -> None:
    (folder / "network/config.json").write_text(json.dumps({"auto_map": {"AutoModel": "modeling.Mine"}}))


def pickles(folder: Path) -> None:
    weights = folder / "network/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))


def damaged(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def nothing(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def another(folder: Path) -> None:
    rewrite(folder, _class_name="StableDiffusionPipeline")


def rewrite(folder: Path, **changed: object) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | changed))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (code, "brings code of its own, network/modeling.py"),
        (pipeline_of_its_own, "only classes of diffusers and transformers"),
        (component_of_its_own, "wants network from 'network'"),
        (remote, "names code of its own in the configuration of its network"),
        (pickles, "as a pickle only, network/pytorch_model.bin"),
        (damaged, "is not JSON"),
        (nothing, "holds no model_index.json"),
        (another, "is a StableDiffusionPipeline, which no family streams"),
    ],
)
def test_a_checkpoint_that_cannot_be_trusted_or_streamed_is_refused(here, checkpoint, harm, why):
    harm(checkpoint)
    told = models(here, "add", str(checkpoint))
    assert told.exit_code == 1 and why in told.output.replace("\n", " "), told.output
    assert not Path(here["LONGTAKE_MODELS_FILE"]).exists()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("--size", "96"), "--size is '96'; WIDTHxHEIGHT"),
        (("--size", "97x64"), "multiples of 8"),
        (("--set", "pixels_a_frame=fast"), "something like 2 is possible"),
        (("--set", "colour=red"), "drift has no option colour"),
        (("--family", "nobody"), "There is no family 'nobody'"),
        (("--name", "tiny-shapes"), "tiny-shapes is a model of Longtake's own"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(here, checkpoint, asked, why):
    told = models(here, "add", str(checkpoint), *asked)
    assert told.exit_code == 1 and why in told.output, told.output


def test_a_place_that_is_neither_folder_nor_hub_id_is_refused(here):
    assert "There is no folder 'nowhere', and a Hub id is OWNER/NAME" in models(here, "add", "nowhere").output
