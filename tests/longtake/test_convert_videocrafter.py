"""`longtake convert` knows VideoCrafter's `model.ckpt` from StreamingT2V's, and makes of it what draws first chunks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from diffusers import UNet3DConditionModel

from longtake.checkpoints import conversion, shards
from longtake.command import main
from models.first_chunk import videocrafter
from models.first_chunk.loading import load_source
from models.systems import VIDEOCRAFTER
from models.videocrafter.clip import Clip, draw
from tests.parity.weights import parity_file
from tests.support import released, videocrafter_release

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert isinstance(done.exception, SystemExit | KeyboardInterrupt | None), done.exception
    return done


def convert(root: Path, *options: object) -> str:
    """The command on the files in `root`; what it printed."""
    return run("convert", root / "model.ckpt", "--tokenizer", root / "tokenizer", "-o", root / "out", *options).output


def place(root: Path, **kind: bool) -> Path:
    released.tokenizer(root / "tokenizer")
    videocrafter_release.checkpoint(root / "model.ckpt", **kind)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return place(tmp_path)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text-to-video, converted once, in shards."""
    root = place(tmp_path_factory.mktemp("videocrafter"))
    output = convert(root, "--max-shard-size", "1MB")
    assert "5 components in fp32" in output and "may be another" not in output
    return root


@pytest.mark.parity
@pytest.mark.parametrize(("name", "image"), [("t2v_512_v2.0", False), ("i2v_512_v1.0", True)])
def test_the_files_of_these_tests_have_the_released_names_and_shapes(name, image):
    with torch.device("meta"):
        network = videocrafter_release.network(320, (1, 2, 4, 4), (0, 1, 2), 2, 1024, image=image)
        projection = videocrafter_release.projection(1024, 4, 768, 16, 1280, 1024) if image else {}
    state = {f"model.diffusion_model.{key}": tensor for key, tensor in network.items()}
    state |= {f"image_proj_model.{key}": tensor for key, tensor in projection.items()}
    want = json.loads(parity_file("videocrafter_full.keys.json").read_text())[name]
    assert {key: list(tensor.shape) for key, tensor in state.items()} == want


def test_a_converted_folder_is_loaded_as_first_chunks_load_it_and_draws(converted):
    source = videocrafter.load(str(converted / "out"), use_safetensors=True)
    assert not source.needs_image and source.pipeline.image_encoder is None
    assert len(list((converted / "out" / "unet").glob("*-of-*.safetensors"))) > 1
    ours = source.pipeline.unet.state_dict()
    theirs = torch.load(converted / "model.ckpt")["state_dict"]
    assert torch.equal(ours["conv_in.weight"], theirs["model.diffusion_model.input_blocks.0.0.weight"])
    frames = draw(source.pipeline, Clip(prompt="a horse", height=64, width=64, seed=1, steps=2))
    assert frames.shape == (16, 64, 64, 3) and frames.std() > 0


def test_image_to_video_is_converted_with_what_reads_the_picture(tmp_path):
    place(tmp_path, image=True)
    assert "7 components in bf16" in convert(tmp_path, "--dtype", "bf16")
    source = load_source("videocrafter-i2v", tmp_path / "out", device="cpu")
    assert source.needs_image
    clips = (Clip("a horse", image=image, height=64, width=64, seed=1, steps=2) for image in (PICTURE, 255 - PICTURE))
    seen, other = (draw(source.pipeline, clip) for clip in clips)
    assert seen.shape == (16, 64, 64, 3) and not np.array_equal(seen, other)


def test_a_file_that_deepspeed_wrote_becomes_the_same(converted, tmp_path):
    convert(place(tmp_path, deepspeed=True), "--max-shard-size", "1MB")
    want, got = (json.loads((root / "out" / "checksums.json").read_text()) for root in (converted, tmp_path))
    assert want == got


def test_the_folder_is_verified_and_shown_by_its_name(converted, monkeypatch):
    monkeypatch.setenv("LONGTAKE_CHECKPOINTS", json.dumps({VIDEOCRAFTER: str(converted / "out")}))
    assert "is whole." in run("models", "verify", VIDEOCRAFTER).output
    shown = run("models", "show", VIDEOCRAFTER)
    assert shown.exit_code == 0 and "text_encoder" in shown.output and "LICENSE.md" in shown.output


def test_every_part_has_its_licence(converted):
    folder = converted / "out"
    note = (folder / "LICENSE.md").read_text()
    components = [name for name in json.loads((folder / "model_index.json").read_text()) if not name.startswith("_")]
    assert len(components) == 5 and all(f"`{name}`" in note for name in components)
    assert "VideoCrafter" in note and "StreamingT2V" not in note and "| no |" in note


def test_an_interrupted_conversion_goes_on_where_it_was(root, monkeypatch):
    write, written = shards.write_weights, []

    def interrupted(folder: Path, *arguments, **options):
        written.append(folder.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        return write(folder, *arguments, **options)

    monkeypatch.setattr(conversion, "write_weights", interrupted)
    convert(root)
    assert (root / "out" / "unet").is_dir() and not (root / "out" / "model_index.json").exists()
    assert "5 components" in convert(root)
    assert written == [".unet.part", ".text_encoder.part", ".text_encoder.part", ".vae.part"]
    videocrafter.load(str(root / "out"))


def test_a_conversion_is_not_gone_on_with_another_tokenizer(root):
    convert(root)
    released.tokenizer(root / "other" / "tokenizer")
    assert "another tokenizer" in convert(root, "--tokenizer", root / "other" / "tokenizer")


def test_what_a_release_needs_is_named(root):
    output = run("convert", root / "model.ckpt", "-o", root / "out").output
    assert "Error: model.ckpt is VideoCrafter's, whose conversion needs --tokenizer" in output
    released.checkpoint(root / "streaming_t2v.ckpt")
    output = run("convert", root / "streaming_t2v.ckpt", "-o", root / "out").output
    assert "Error: streaming_t2v.ckpt is StreamingT2V's, whose conversion needs --base: text-to-video-ms-1.7b" in output
    assert not (root / "out").exists()


def test_options_of_the_other_release_are_refused(root):
    base = released.base(root / "ms-1.7b")
    output = convert(root, "--base", base, "--refiner", base)
    assert "Error: model.ckpt is VideoCrafter's, whose conversion takes no --base and no --refiner." in output
    checkpoint = released.checkpoint(root / "streaming_t2v.ckpt")
    options = ("--base", base, "--tokenizer", root / "tokenizer", "-o", root / "out")
    assert "streaming_t2v.ckpt is StreamingT2V's, whose conversion takes no --tokenizer." in run(
        "convert", checkpoint, *options
    ).output  # fmt: skip
    assert not (root / "out").exists()


def test_a_checkpoint_of_neither_is_refused(root):
    torch.save(UNet3DConditionModel(**released.SMALL.network).state_dict(), root / "model.ckpt")
    assert "This is not the released checkpoint of StreamingT2V or of VideoCrafter" in convert(root)
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    ("room", "refusal"),
    [("cond_stage_model.", "text_encoder"), ("first_stage_model.", "vae"), ("model.diffusion_model.out.", "unet")],
)
def test_a_checkpoint_that_lacks_a_part_is_refused_before_anything_is_written(root, room, refusal):
    state = torch.load(root / "model.ckpt")["state_dict"]
    torch.save({key: tensor for key, tensor in state.items() if not key.startswith(room)}, root / "model.ckpt")
    output = convert(root)
    assert output.startswith(f"Error: {refusal}: ") and len(output.splitlines()) == 1
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    "lost",
    [
        "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
        "model.diffusion_model.input_blocks.2.0.op.weight",
        "first_stage_model.encoder.down.3.block.0.conv1.weight",
        "first_stage_model.post_quant_conv.weight",
    ],
)
def test_a_checkpoint_that_lacks_a_tensor_by_which_sizes_are_told_is_refused(root, lost):
    state = torch.load(root / "model.ckpt")["state_dict"]
    del state[lost]
    torch.save(state, root / "model.ckpt")
    output = convert(root)
    assert " has no " in output and len(output.splitlines()) == 1
    assert not (root / "out").exists()


def test_dynamicrafter_is_refused_by_name(root):
    state = torch.load(root / "model.ckpt")["state_dict"]
    state["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(64, 8, 3, 3)
    torch.save(state, root / "model.ckpt")
    assert "this is DynamiCrafter, or another" in convert(root)
    assert not (root / "out").exists()


def test_a_tokenizer_with_more_words_than_the_text_encoder_is_refused(root):
    state = torch.load(root / "model.ckpt")["state_dict"]
    words = "cond_stage_model.model.token_embedding.weight"
    state[words] = state[words][:40].clone()
    torch.save(state, root / "model.ckpt")
    assert "has 55 words, and the text encoder knows 40 only" in convert(root)
    assert not (root / "out").exists()


def test_a_tokenizer_that_pads_otherwise_is_remarked_on(root):
    path = root / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": released.SPECIAL[1]}))
    output = convert(root)
    assert "5 components" in output and "may be another than that of Stable Diffusion 2" in output
