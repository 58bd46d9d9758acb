"""`longtake models` says what there is, what it needs, and whether it is whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from longtake.checkpoints import conversion
from longtake.command import main
from models import catalog
from models.loading import BUNDLED
from models.model import Size
from service.api.orders import job_of
from service.api.schemas import CreateVideo
from service.errors import InvalidRequest
from service.settings import Settings
from tests.support import released


def models(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("released")
    sources = conversion.Sources(released.checkpoint(root / "s.ckpt"), released.base(root / "ms"), dtype="fp16")
    conversion.convert(sources, root / "out", lambda done, total, what: None)
    return root / "out"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A converted folder to do harm to."""
    shutil.copytree(made, tmp_path / "streaming")
    return tmp_path / "streaming"


def test_the_list_says_which_weights_are_here():
    lines = {line.split()[1]: line for line in models("list").output.splitlines() if "MB" not in line and "│" in line}
    assert str(BUNDLED / "tiny-shapes") in lines["tiny-shapes"]
    assert "not here" in lines["streaming-t2v"] and "not for commercial use" in lines["streaming-t2v"]


def test_show_counts_what_the_classes_have(folder):
    from models.loading import load_pipeline

    output = models("show", str(folder)).output
    pipeline = load_pipeline(folder, device="cpu")
    networks = {name: part for name, part in pipeline.components.items() if hasattr(part, "parameters")}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in networks.items()}
    assert len(counts) == 7 and all(f"{count:,}" in output for count in counts.values())
    total = sum(counts.values())
    assert f"{total:,}" in output and f"{total * 4 / 1e9:.2f}" in output and "float16" in output


def test_show_tells_what_a_checkpoint_needs_of_a_gpu_under_each_preset(folder):
    output = models("show", str(folder)).output
    table = rows(output)
    assert table["numbers"] == ["bfloat16, VAE float32"] * 3
    assert table["refiner's guidance"] == ["one by one", "one by one", "in one batch"]
    assert "streaming step, 64x64" in table and "encode, 64x64" not in table  # this one has no refiner
    assert "This machine has no GPU" in output or "GiB) takes '" in output


def rows(output: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if "│" in line]
    return {name: rest for name, *rest in cells}


def test_an_unknown_preset_is_answered_with_those_there_are(monkeypatch):
    monkeypatch.setenv("LONGTAKE_MEMORY", "tiny")
    done = models("show", "tiny-shapes")
    assert done.exit_code == 1
    assert done.output.endswith("Error: LONGTAKE_MEMORY: Input should be 'auto', 'small', 'medium' or 'large'.\n")


@pytest.mark.timeout(900)
def test_a_model_whose_weights_are_absent_says_how_to_get_them():
    done = models("show", "streaming-t2v")
    assert done.exit_code == 1
    assert "Error: The weights of streaming-t2v do not come with Longtake: convert them" in done.output
    # ... and whether they would fit, before anything is fetched.
    needed = dict(zip(("small", "medium", "large"), rows(done.output)["the most, and 1.5 in reserve"], strict=True))
    assert float(needed["small"]) < 16 and 16 < float(needed["medium"]) < 24 and 24 < float(needed["large"]) < 80
    assert "refining step, 1280x720" in rows(done.output)
    halves = {"small": 1_480_478_804 + 621_981_664 + 22_299_904}  # unet, cam, apm
    halves["medium"] = halves["small"] + 632_076_800 + 1_411_233_860  # image_encoder, refiner
    halves["large"] = halves["medium"] + 1_411_233_860 + 2 * 340_387_840  # first_chunk, two text encoders
    stay = [2 * count + 4 * 2 * 83_653_863 for count in halves.values()]  # two VAEs in float32
    assert rows(done.output)["weights that stay"] == [f"{size / 2**30:.2f}" for size in stay]
    told = rows(Path("docs/checkpoints.md").read_text().replace("|", "│"))
    same = told.keys() & rows(done.output).keys() - {"", "for cards of"}
    assert len(same) == 8 and all(told[name] == rows(done.output)[name] for name in same)


def test_a_model_is_found_where_the_settings_say(folder, monkeypatch):
    monkeypatch.setenv("LONGTAKE_CHECKPOINTS", json.dumps({"streaming-t2v": str(folder)}))
    assert f"{folder} is whole.\n" == models("verify", "streaming-t2v").output


def test_the_bundled_weights_are_whole():
    assert models("verify", "tiny-shapes").output.endswith("tiny-shapes is whole.\n")
    whole = models("verify", "tiny-make-a-video").output.splitlines()
    assert [line.rsplit("/", 1)[1] for line in whole] == ["tiny-make-a-video is whole.", "tiny-shapes is whole."]


def flip(folder: Path) -> None:
    data = bytearray((folder / "apm/diffusion_pytorch_model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "apm/diffusion_pytorch_model.safetensors").write_bytes(data)


def cut(folder: Path) -> None:
    file = folder / "cam/diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def widen(folder: Path) -> None:
    config = json.loads((folder / "apm/config.json").read_text())
    (folder / "apm/config.json").write_text(json.dumps(config | {"hidden_dim": 41}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (flip, "apm/diffusion_pytorch_model.safetensors has changed since it was written."),
        (cut, "cam: diffusion_pytorch_model.safetensors is cut short"),
        (widen, "of another shape, such as linear_1.bias is (40,) and must be (41,)"),
        (lambda folder: shutil.rmtree(folder / "vae"), "The component vae is missing."),
        (lambda folder: (folder / "tokenizer/tokenizer.json").unlink(), "tokenizer/tokenizer.json is missing."),
        (lambda folder: (folder / "model_index.json").unlink(), "holds no model_index.json"),
    ],
)
def test_a_fault_is_named(folder, harm, words):
    harm(folder)
    done = models("verify", str(folder))
    assert done.exit_code == 1 and words in done.output


def test_a_model_is_offered_only_where_its_weights_are():
    order = CreateVideo(prompt="a horse on the beach", model="streaming-t2v", refine=False)
    with pytest.raises(InvalidRequest, match=r"The weights of streaming-t2v are not here .*; there is tiny-shapes"):
        job_of(order, "tenant", Settings())
    wanted = job_of(order, "tenant", Settings(checkpoints={"streaming-t2v": "/weights"})).generation
    assert (wanted.size, wanted.steps, wanted.guidance_scale, wanted.prompt) == ("256x256", 50, 7.5, order.prompt)
    assert set(catalog.offered(())) == {name for name in catalog.MODELS if name.startswith("tiny-")}


@pytest.mark.parametrize(
    ("asked", "size", "refined"),
    [
        ({}, "720x720", True),
        ({"size": "1280x720"}, "1280x720", True),
        ({"size": "448x256"}, "448x256", False),
        ({"size": "1024x576", "refine": True}, "1024x576", True),
        ({"refine": False}, "256x256", False),
    ],
)
def test_a_size_says_whether_a_video_is_wide_and_whether_it_is_refined(asked, size, refined):
    order = CreateVideo(prompt="a horse on the beach", model="streaming-t2v", **asked)
    wanted = job_of(order, "tenant", Settings(checkpoints={"streaming-t2v": "/weights"})).generation
    assert (wanted.size, wanted.refine is not None) == (size, refined)
    assert catalog.find(wanted.model).at(wanted.size).sizes[int(refined)] == Size(*map(int, size.split("x")))


def test_a_model_that_begins_with_a_picture_is_not_ordered_without_one():
    order = CreateVideo(prompt="a horse on the beach", model="streaming-t2v-svd")
    settings = Settings(checkpoints={"streaming-t2v": "/weights", "svd": "/svd"})
    with pytest.raises(InvalidRequest, match="goes on from a picture, and none is given") as refused:
        job_of(order, "tenant", settings)
    assert refused.value.code == "image_needed"
    assert job_of(order, "tenant", settings, with_image=True).generation.model == "streaming-t2v-svd"


def test_the_list_names_the_weights_of_the_first_chunk_too(folder, monkeypatch):
    monkeypatch.setenv("LONGTAKE_CHECKPOINTS", json.dumps({"streaming-t2v": str(folder)}))
    lines = {line.split()[1]: line for line in models("list").output.splitlines() if line.startswith("│")}
    assert str(folder)[:20] in lines["streaming-t2v"] and "not here" in lines["streaming-t2v-svd"]
