"""CAM and APM of any checkpoint are trained on a folder of videos, resumed after a kill, and load."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from longtake.checkpoints.inventory import problems
from longtake.command import main
from longtake.train import train
from longtake.training.folder import keep, load, restore
from longtake.training.objective import target
from longtake.training.placement import half_of, place, precision_on, take_back
from longtake.training.recipe import ApmRecipe, CamRecipe, StageRecipe
from longtake.training.streaming import ApmStage, CamStage
from longtake.training.videos import VideoSource
from models.loading import load_pipeline
from models.streaming_t2v.anchor import embed_anchor, embed_no_anchor
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.unet import StreamingUNet3D
from tests.longtake.test_videos import FPS, film
from tests.support import released

RECIPE = """
checkpoint = "{root}/converted"
fresh = {fresh}
runs = "{root}/{runs}"
result = "trained"
[data]
videos = "{root}/footage"
fps = 8.0
size = 32
[every]
steps = 2
rate = 1e-3
batch = 1
warm_up_steps = 0
gradient_checkpointing = true
keep_every_s = 0
ahead = 1
[cam]
embedding_channels = [4, 6, 8, 10]
base = "{base}"
[apm]
"""
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted checkpoint of the published layout, and footage."""
    root = tmp_path_factory.mktemp("root")
    released.checkpoint(root / "streaming_t2v.ckpt")
    released.base(root / "base")
    files = [str(root / "streaming_t2v.ckpt"), "--base", str(root / "base"), "-o", str(root / "converted")]
    assert CliRunner().invoke(main, ["convert", *files]).exit_code == 0
    for seed in range(2):
        film(root / "footage", f"take{seed}", seed)
    return root


def recipe(root: Path, runs: str, *, fresh: bool = False, base: str = "first_chunk") -> Path:
    file = root / f"{runs}.toml"
    file.write_text(RECIPE.format(root=root, runs=runs, fresh=str(fresh).lower(), base=base))
    return file


def follow(file: Path, *stages: str) -> str:
    torch.set_num_threads(1)
    done = CliRunner().invoke(train, [*stages, "--config", str(file)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def kill_midway(file: Path, stage: str, progress: Path) -> None:
    """The command, killed once its progress is kept for the first time."""
    command = [sys.executable, "-m", "longtake", "train", stage, "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as training:
        while training.poll() is None and not progress.exists():
            time.sleep(0.01)
        training.kill()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_published_checkpoint_is_trained_resumed_after_a_kill_and_loads(root: Path):
    output = follow(recipe(root, "whole"), "cam", "apm")
    assert "cam done after 2 steps" in output and "apm done after 2 steps" in output
    killed = recipe(root, "killed")
    for stage in ("cam", "apm"):
        kill_midway(killed, stage, root / "killed" / f"{stage}.pt")
        follow(killed, stage)
    for part in ("unet", "cam", "apm"):
        whole, again, before = (root / at / part / WEIGHTS for at in ("whole/trained", "killed/trained", "converted"))
        assert whole.read_bytes() == again.read_bytes(), part
        assert whole.read_bytes() != before.read_bytes(), part
    assert not list(problems(root / "killed" / "trained", lambda file: None))
    pipeline = load_pipeline(root / "killed" / "trained", device="cpu")
    assert pipeline.cam is not None
    assert (root / "killed" / "trained" / "LICENSE.md").is_file()


@pytest.mark.timeout(300)
def test_a_fresh_training_begins_with_the_first_chunks_network_alone(root: Path):
    follow(recipe(root, "fresh", fresh=True), "cam")
    otherwise = CliRunner().invoke(train, ["cam", "--config", str(recipe(root, "fresh"))])
    assert otherwise.exit_code == 1 and "is there already, and was not begun from" in otherwise.output
    folder = root / "fresh" / "trained"
    unet, first = load(StreamingUNet3D, folder / "unet"), load(StreamingUNet3D, root / "converted" / "first_chunk")
    state = unet.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in first.state_dict().items())
    assert all(not mixer.alpha.any() for mixer in unet.apm_mixers)
    cam = load(ConditionalAttentionModule, folder / "cam").state_dict()
    assert torch.allclose(cam["conv_in.weight"], first.conv_in.weight, atol=1e-2)
    assert load_pipeline(folder, device="cpu").unet.config.num_image_tokens == released.SMALL.image_tokens


def build(stage: type[CamStage], told: type[StageRecipe], root: Path, **options: object) -> CamStage:
    source = VideoSource(root / "footage", size=32, fps=FPS)
    return stage(root / "converted", told(steps=1, rate=1e-3, batch=2, **options), source)


def gradients(stage: CamStage) -> dict[str, torch.Tensor]:
    rng = random.Random(5)
    torch.manual_seed(5)
    stage.loss(stage.draw(rng, 0.0), rng, 0.0).backward()
    return {name: weight.grad for name, weight in stage.learner.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize(("stage", "told"), [(CamStage, CamRecipe), (ApmStage, ApmRecipe)])
def test_gradient_checkpointing_changes_no_gradient(root: Path, stage: type[CamStage], told: type[StageRecipe]):
    torch.set_num_threads(1)
    plain = gradients(build(stage, told, root))  # with the network's own dropout
    saving = gradients(build(stage, told, root, gradient_checkpointing=True))
    assert plain.keys() == saving.keys()
    assert all(plain[name] is not None and torch.equal(plain[name], saving[name]) for name in plain)


STAGES = pytest.mark.parametrize(
    ("stage", "told", "options"),
    [(CamStage, CamRecipe, {}), (ApmStage, ApmRecipe, {}), (ApmStage, ApmRecipe, {"memory_noise": 0.1})],
)


@STAGES
def test_nothing_of_a_step_is_left_on_another_device(root: Path, stage: type, told: type, options: dict[str, float]):
    """On torch's device without data, since a GPU is not everywhere; an operation on two devices raises."""
    placed = build(stage, told, root, **options)
    place(placed, torch.device("meta"), None)
    assert all(grad is not None and grad.device.type == "meta" for grad in gradients(placed).values())


@STAGES
def test_frozen_weights_are_halved_and_written_as_they_were(
    root: Path, stage: type, told: type, options: dict[str, float]
):
    halved = build(stage, told, root, **options)
    before = {name: weight.clone() for name, weight in halved.learner.named_parameters() if not weight.requires_grad}
    whole = place(halved, torch.device("cpu"), torch.bfloat16)
    assert {weight.dtype for part in halved.frozen for weight in part.parameters()} == {torch.bfloat16}
    assert all(w.requires_grad == (w.dtype is torch.float32) for w in halved.learner.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        assert all(grad is not None and grad.isfinite().all() for grad in gradients(halved).values())
    take_back(halved, whole)
    after = dict(halved.learner.named_parameters())
    assert before and all(torch.equal(after[name], weight) for name, weight in before.items())
    assert half_of(torch.device("cpu"), "bf16") is None and half_of(torch.device("cuda"), "fp16") is torch.float16


def test_a_cpu_that_only_imitates_bfloat16_is_spared_it(monkeypatch: pytest.MonkeyPatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for has_instructions, chosen in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda has=has_instructions: has)
        assert precision_on(cpu, "bf16") == chosen and precision_on(gpu, "bf16") == "bf16"
        assert precision_on(cpu, "no") == "no"


def test_cam_learns_upon_the_network_that_the_recipe_names(root: Path):
    tuned = load(StreamingUNet3D, root / "converted" / "unet").state_dict()
    first = load(StreamingUNet3D, root / "converted" / "first_chunk").state_dict()
    for base, weights in (("unet", tuned), ("first_chunk", tuned | first)):
        stage = build(CamStage, CamRecipe, root, base=base)
        assert all(torch.equal(weight, weights[name]) for name, weight in stage.learner["unet"].state_dict().items())
        learning = {name for name, weight in stage.learner.named_parameters() if weight.requires_grad}
        assert all(name.startswith(("cam.", "unet.cam_")) for name in learning)


def test_conditions_are_dropped_as_often_as_the_recipe_says(root: Path):
    shares = {"drop_text": 0.2, "drop_anchor": 0.1, "drop_both": 0.3}
    text, anchor = build(ApmStage, ApmRecipe, root, **shares).dropped(random.Random(1), 20_000)
    seen = Counter(zip(text, anchor, strict=True))
    for dropped, share in (((True, False), 0.2), ((False, True), 0.1), ((True, True), 0.3), ((False, False), 0.4)):
        assert seen[dropped] / 20_000 == pytest.approx(share, abs=0.015)


def test_the_anchor_is_any_of_the_frames_that_the_recipe_names(root: Path):
    stage = build(ApmStage, ApmRecipe, root, anchor_frames=(3, 5))
    video = torch.linspace(-1, 1, 32).view(1, 32, 1, 1, 1).expand(1, 32, 3, 32, 32)  # every frame another grey
    shown = embed_anchor(stage.image, video[0])
    seen = set()
    for seed in range(20):
        embedded = stage.anchors(video, torch.empty(1), random.Random(seed), [False])
        seen.add(int((shown - embedded).square().sum(1).argmin()) + 1)
    assert seen == {3, 4, 5}
    none = stage.anchors(video, torch.empty(1), random.Random(0), [True])
    assert torch.equal(none, embed_no_anchor(stage.image))


def test_what_is_predicted_is_what_the_schedule_says():
    latents, noise, t = torch.randn(2, 4, 3, 2, 2), torch.randn(2, 4, 3, 2, 2), torch.tensor([10, 900])
    assert torch.equal(target(DDIMScheduler(prediction_type="epsilon"), latents, noise, t), noise)
    velocity = DDIMScheduler(prediction_type="v_prediction")
    assert torch.equal(target(velocity, latents, noise, t), velocity.get_velocity(latents, noise, t))
    with pytest.raises(ValueError, match="'sample' cannot be trained"):
        target(DDIMScheduler(prediction_type="sample"), latents, noise, t)


def test_a_component_is_replaced_as_a_whole(tmp_path: Path):
    """A process killed between the two renamings of `keep` leaves the old one beside; it is put back."""
    folder = tmp_path / "scheduler"
    keep(DDIMScheduler(num_train_timesteps=7), folder)
    keep(DDIMScheduler(num_train_timesteps=8), folder)
    assert DDIMScheduler.from_pretrained(folder).config.num_train_timesteps == 8
    assert [path.name for path in tmp_path.iterdir()] == ["scheduler"]
    folder.rename(tmp_path / ".scheduler.old")
    restore(tmp_path)
    assert DDIMScheduler.from_pretrained(folder).config.num_train_timesteps == 8
