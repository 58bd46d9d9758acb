"""`longtake convert` turns released files into a folder that loads and runs, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from diffusers import UNet3DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from safetensors import safe_open

from longtake.checkpoints import conversion, shards
from longtake.command import main
from models import catalog
from models.loading import load_pipeline
from models.model import CatalogError, CheckpointError
from models.recipe import Recipe
from models.request import RefineOptions, default_request
from tests.support import released, sparse
from tests.support.released import Size


def convert(root: Path, *options: str) -> str:
    """The command on the files in `root`; what it printed."""
    arguments = [str(root / "streaming_t2v.ckpt"), "--base", str(root / "ms-1.7b"), "-o", str(root / "out"), *options]
    done = CliRunner().invoke(main, ["convert", *arguments])
    assert isinstance(done.exception, SystemExit | KeyboardInterrupt | None), done.exception
    return done.output


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released files, drawn once; not to be touched."""
    folder = tmp_path_factory.mktemp("files")
    released.checkpoint(folder / "streaming_t2v.ckpt")
    released.base(folder / "ms-1.7b")
    return folder


@pytest.fixture
def root(files: Path, tmp_path: Path) -> Path:
    """A copy of them to do harm to."""
    return shutil.copytree(files, tmp_path, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def converted(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted once, in shards."""
    root = shutil.copytree(files, tmp_path_factory.mktemp("released"), dirs_exist_ok=True)
    assert "10 components in fp32" in convert(root, "--max-shard-size", "1MB")
    return root


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            tensors |= {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    return tensors


def test_a_converted_folder_loads_with_no_key_missing_or_left_over(converted):
    pipeline = load_pipeline(converted / "out", device="cpu")
    for name in ("unet", "cam", "apm", "image_encoder", "first_chunk", "text_encoder", "vae"):
        want = pipeline.components[name].state_dict()
        got = weights_of(converted / "out" / name)
        assert got.keys() == want.keys(), name
        assert all(torch.equal(got[key], want[key]) for key in got), name
    assert len(list((converted / "out" / "unet").glob("*-of-*.safetensors"))) > 1


def test_the_streaming_network_is_the_tuned_one_and_the_first_chunks_the_original(converted):
    state = torch.load(converted / "streaming_t2v.ckpt")["state_dict"]
    unet, first = weights_of(converted / "out" / "unet"), weights_of(converted / "out" / "first_chunk")
    original = UNet3DConditionModel.from_pretrained(converted / "ms-1.7b" / "unet")
    assert torch.equal(unet["conv_in.weight"], state["base_model.conv_in.weight"])
    assert torch.equal(first["conv_in.weight"], original.conv_in.weight)
    assert not torch.equal(unet["conv_in.weight"], first["conv_in.weight"])


@torch.no_grad()
def test_the_first_chunks_network_computes_what_diffusers_computes(converted):
    original = UNet3DConditionModel.from_pretrained(converted / "ms-1.7b" / "unet").eval()
    ours = load_pipeline(converted / "out", device="cpu").first_chunk
    latents, text = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 77, 64)
    assert torch.allclose(ours(latents, 500, text).sample, original(latents, 500, text).sample, atol=1e-5)


def test_the_first_chunk_is_sampled_by_dpm_solver_on_the_bases_betas(converted):
    pipeline = load_pipeline(converted / "out", device="cpu")
    own, others = pipeline.first_chunk_scheduler, pipeline.scheduler
    base = DDIMScheduler.from_pretrained(converted / "ms-1.7b" / "scheduler")
    want = DPMSolverMultistepScheduler.from_config(base.config)
    assert type(own) is DPMSolverMultistepScheduler and type(others) is DDIMScheduler
    for scheduler in (own, want):
        scheduler.set_timesteps(50)
    assert torch.equal(own.timesteps, want.timesteps) and torch.equal(own.alphas_cumprod, others.alphas_cumprod)


def test_a_converted_folder_makes_a_video(converted):
    pipeline = load_pipeline(converted / "out", device="cpu")
    model = replace(catalog.find("tiny-shapes"), eta=1.0, hold_known_frames=False, read_prompt=str)
    request = replace(default_request(model, "a horse", num_frames=24, seed=1, refine=False), steps=1)
    made = [result.frames for _, result in Recipe(pipeline, model, request).generate()]
    assert [frames.shape for frames in made] == [(16, 64, 64, 3), (8, 64, 64, 3)]


@pytest.fixture(scope="module")
def with_refiner(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("refined")
    for name in ("streaming_t2v.ckpt", "ms-1.7b"):
        (root / name).symlink_to(converted / name)
    # A text encoder as wide as the refiner reads, and a VAE that is the base's own.
    released.video_to_video(root / "Video-to-Video", shared=converted / "ms-1.7b")
    assert "13 components in fp32" in convert(root, "--refiner", str(root / "Video-to-Video"))
    return root


def test_a_refiner_is_converted_with_what_it_does_not_share(with_refiner):
    parts = load_pipeline(with_refiner / "out", device="cpu")
    assert type(parts.refiner).__name__ == "VideoRefinerUNet3D" and parts.refiner_schedule is not None
    assert parts.refiner_text_encoder is not None and parts.refiner_vae is None


def test_a_converted_folder_refines_a_video(with_refiner):
    pipeline = load_pipeline(with_refiner / "out", device="cpu")
    model = replace(catalog.find("tiny-shapes"), hold_known_frames=False, read_prompt=str)
    request = replace(default_request(model, "a horse", num_frames=2, seed=1, refine=True), steps=1)
    request = replace(request, refine=replace(request.refine, steps=1))
    last = list(Recipe(pipeline, model, request).generate())[-1][1]
    assert last.frames.shape == (2, 128, 128, 3)


@pytest.mark.parametrize(("own", "components"), [(False, 12), (True, 14)])
def test_a_text_to_video_model_of_diffusers_is_converted_as_a_refiner_and_refines(converted, tmp_path, own, components):
    for name in ("streaming_t2v.ckpt", "ms-1.7b"):
        (tmp_path / name).symlink_to(converted / name)
    released.zeroscope(tmp_path / "zeroscope_v2_XL", converted / "ms-1.7b", own=own)
    output = convert(tmp_path, "--refiner", str(tmp_path / "zeroscope_v2_XL"))
    assert f"{components} components in fp32" in output
    pipeline = load_pipeline(tmp_path / "out", device="cpu")
    assert pipeline.refiner_schedule.config.prediction_type == "epsilon"
    assert (pipeline.refiner_vae is not None, pipeline.refiner_text_encoder is not None) == (own, own)
    note = (tmp_path / "out" / "LICENSE.md").read_text()
    assert "zeroscope_v2_XL | as its release says" in note and "MS-Vid2Vid-XL" not in note
    model = replace(catalog.find("tiny-shapes"), hold_known_frames=False, read_prompt=str)
    request = replace(default_request(model, "a horse", num_frames=2, seed=1, refine=True), steps=1)
    made = [
        list(Recipe(pipeline, model, replace(request, refine=RefineOptions(1, strength))).generate())[-1][1].frames
        for strength in (0.6, 0.3)
    ]
    assert made[0].shape == (2, 128, 128, 3) and not np.array_equal(*made)


@torch.no_grad()
def test_the_other_refiner_computes_what_diffusers_computes(converted, tmp_path):
    for name in ("streaming_t2v.ckpt", "ms-1.7b"):
        (tmp_path / name).symlink_to(converted / name)
    folder = released.zeroscope(tmp_path / "zeroscope", converted / "ms-1.7b")
    convert(tmp_path, "--refiner", str(folder))
    ours = load_pipeline(tmp_path / "out", device="cpu").refiner
    original = UNet3DConditionModel.from_pretrained(folder / "unet").eval()
    latents, text = torch.randn(1, 4, 3, 9, 16), torch.randn(1, 77, 64)
    assert torch.allclose(ours(latents, 500, text).sample, original(latents, 500, text).sample, atol=1e-5)


def test_a_refiner_without_betas_is_refused_before_anything_is_written(root):
    folder = released.zeroscope(root / "flow", root / "ms-1.7b", scheduler=FlowMatchEulerDiscreteScheduler())
    assert "only one with betas will do" in convert(root, "--refiner", str(folder))
    assert not (root / "out").exists()


def test_a_folder_without_a_refiner_says_so_when_it_is_asked_to_refine(converted):
    pipeline = load_pipeline(converted / "out", device="cpu")
    model = replace(catalog.find("tiny-shapes"), read_prompt=str)
    with pytest.raises(CatalogError, match="has no refiner; ask for the video without it"):
        Recipe(pipeline, model, default_request(model, "a horse", num_frames=2, seed=1, refine=True))


def test_every_file_has_its_checksum_and_every_part_its_licence(converted):
    folder = converted / "out"
    sums = json.loads((folder / "checksums.json").read_text())
    files = [path for path in folder.rglob("*") if path.is_file() and "/" in str(path.relative_to(folder))]
    assert sums.keys() == {str(path.relative_to(folder)) for path in files} | {"model_index.json"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())
    note = (folder / "LICENSE.md").read_text()
    components = [name for name in json.loads((folder / "model_index.json").read_text()) if not name.startswith("_")]
    assert "CC BY-NC 4.0" in note and all(f"`{name}`" in note for name in components)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_weights_can_be_written_in_half_precision(root, dtype):
    convert(root, "--dtype", dtype)
    kinds = {tensor.dtype for tensor in weights_of(root / "out" / "unet").values()}
    assert kinds == {conversion.DTYPES[dtype]}
    assert load_pipeline(root / "out", device="cpu").unet.dtype == torch.float32


def test_a_base_as_libraries_wrote_it_in_2023_converts(tmp_path):
    released.checkpoint(tmp_path / "streaming_t2v.ckpt")
    released.base(tmp_path / "ms-1.7b", half=True, old_names=True)
    assert "10 components" in convert(tmp_path)
    pipeline = load_pipeline(tmp_path / "out", device="cpu")
    pickled = torch.load(tmp_path / "ms-1.7b" / "text_encoder" / "pytorch_model.bin")
    want = pickled["text_model.final_layer_norm.weight"]
    text_model = getattr(pipeline.text_encoder, "text_model", pipeline.text_encoder)
    assert torch.equal(text_model.final_layer_norm.weight, want)


def test_an_interrupted_conversion_goes_on_where_it_was(root, monkeypatch):
    write, written = shards.write_weights, []

    def interrupted(folder: Path, *arguments, **options):
        written.append(folder.name)
        if len(written) == 3:
            (folder / "half.safetensors").write_bytes(b"half")
            raise KeyboardInterrupt
        return write(folder, *arguments, **options)

    monkeypatch.setattr(conversion, "write_weights", interrupted)
    convert(root)
    assert (root / "out" / "unet").is_dir() and not (root / "out" / "apm").exists()
    with pytest.raises(CheckpointError, match="holds no model_index.json"):
        load_pipeline(root / "out")
    before = (root / "out" / "unet" / "diffusion_pytorch_model.safetensors").stat()
    assert "10 components" in convert(root)
    after = (root / "out" / "unet" / "diffusion_pytorch_model.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert written[3:] == [f".{name}.part" for name in ("apm", "image_encoder", "first_chunk", "text_encoder", "vae")]
    assert not list((root / "out").rglob("*.part")) and not list((root / "out").rglob("half*"))
    load_pipeline(root / "out", device="cpu")


def test_a_conversion_is_not_gone_on_with_other_options(root):
    convert(root)
    assert "another dtype" in convert(root, "--dtype", "fp16")
    released.checkpoint(root / "streaming_t2v.ckpt", Size(hidden=48))
    assert "another checkpoint" in convert(root)


def test_another_base_is_remarked_on(root):
    assert "may be another model" not in convert(root)
    torch.manual_seed(7)
    UNet3DConditionModel(**released.SMALL.network).save_pretrained(root / "ms-1.7b" / "unet")
    output = (
        CliRunner()
        .invoke(
            main,
            ["convert", str(root / "streaming_t2v.ckpt"), "--base", str(root / "ms-1.7b"), "-o", str(root / "other")],
        )
        .output
    )
    assert "ms-1.7b may be another model than the one that the checkpoint was tuned from." in output


def test_a_folder_of_something_else_is_left_alone(root):
    (root / "out").mkdir()
    (root / "out" / "letter.txt").write_text("dear")
    assert "is not empty" in convert(root)
    assert [path.name for path in (root / "out").iterdir()] == ["letter.txt"]


def test_a_truncated_checkpoint_is_refused_before_anything_is_written(root):
    path = root / "streaming_t2v.ckpt"
    path.write_bytes(path.read_bytes()[:-5000])
    assert "Error: streaming_t2v.ckpt is cut short or damaged" in convert(root)
    assert not (root / "out").exists()


def test_a_checkpoint_of_another_model_is_refused_before_anything_is_written(root):
    torch.save(UNet3DConditionModel(**released.SMALL.network).state_dict(), root / "streaming_t2v.ckpt")
    assert "Error: This is not the released checkpoint of StreamingT2V" in convert(root)
    assert not (root / "out").exists()


def test_a_checkpoint_of_another_width_is_refused_before_anything_is_written(root):
    released.checkpoint(root / "streaming_t2v.ckpt", Size(widths=(64, 128)))
    assert "of another shape, such as" in convert(root)
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    "part", ["unet/config.json", "tokenizer/vocab.json", "vae/diffusion_pytorch_model.safetensors"]
)
def test_a_base_that_lacks_a_file_is_refused_before_anything_is_written(root, part):
    (root / "ms-1.7b" / part).unlink()
    output = convert(root)
    assert output.startswith("Error: ") and part.split("/")[0] in output and len(output.splitlines()) == 1
    assert not (root / "out").exists()


def test_a_disk_without_room_is_noticed_before_the_first_component(root, monkeypatch):
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    assert "and its disk has 0.0 GB" in convert(root)
    assert not list((root / "out").glob("*/"))


def test_numbers_that_half_precision_cannot_hold_are_refused(root):
    saved = torch.load(root / "streaming_t2v.ckpt")
    saved["state_dict"]["resampler.context_embedding.0.bias"][0] = 1e6
    torch.save(saved, root / "streaming_t2v.ckpt")
    assert "linear_1.bias does not fit into torch.float16" in convert(root, "--dtype", "fp16")


#: VmHWM and not ru_maxrss, which a process inherits from the one that has started it.
RUN = """
from longtake.command import main
try:
    main()
finally:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak", peak.split()[1])
"""


def test_a_checkpoint_of_four_gigabytes_is_converted_in_one_of_memory(tmp_path):
    size = Size(widths=(64, 128, 256, 256), layers=2, groups=32, head_dim=32, context=256)
    sparse.checkpoint(tmp_path / "streaming_t2v.ckpt", size, optimizer_bytes=3_800_000_000)
    sparse.base(tmp_path / "ms-1.7b", size)
    assert (tmp_path / "streaming_t2v.ckpt").stat().st_size > 4e9
    files = [str(tmp_path / "streaming_t2v.ckpt"), "--base", str(tmp_path / "ms-1.7b"), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "convert", *files, "--dtype", "fp16"], capture_output=True, text=True, check=True
    )
    peak_kib = int(done.stdout.split("peak ")[1])
    assert peak_kib < 1 << 20, f"{peak_kib} KiB"
