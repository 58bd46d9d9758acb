"""The tiny VideoCrafter's stages begin where the one before ended, and teach what they are there to teach."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from longtake.checkpoints.inventory import problems
from longtake.training.bundle import BUNDLES, bundle, unbundle
from longtake.training.clips import ShapesSource
from longtake.training.recipe import read
from longtake.training.videocrafter import CHUNK_FRAMES, ImageToVideoStage, TextToVideoStage, draw
from models.loading import BUNDLED
from models.streaming_t2v.unet import StreamingUNet3D
from models.videocrafter.clip import Clip
from models.videocrafter.clip import draw as draw_clip
from models.videocrafter.pipeline import VideoCrafterPipeline

RECIPE, SOURCE = read("tiny-videocrafter"), ShapesSource(size=64, pairs=0.0)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    unbundle(BUNDLED / "tiny-shapes", tmp_path / "trained", [*RECIPE.parts, "image_encoder"])
    return tmp_path / "trained"


def learned(stage, done: float) -> set[str]:
    """The weights that one batch of two short clips changes."""
    rng = random.Random(0)
    stage.learner.zero_grad()
    loss = stage.loss(draw(SOURCE, rng, 2, 2), rng, done)
    assert loss.isfinite()
    loss.backward()
    return {name for name, weight in stage.learner.named_parameters() if weight.grad is not None}


def test_clips_are_the_world_at_their_own_rate_and_the_picture_is_of_the_clip():
    clips = draw(SOURCE, random.Random(1), 6, CHUNK_FRAMES)
    assert all(4 <= fps <= 16 for fps in clips.fps.tolist())
    assert len(set(clips.fps.tolist())) == 6
    assert torch.allclose(clips.moments, torch.arange(16) * 8 / clips.fps[:, None])
    for frames, picture in zip(clips.pixels, clips.pictures, strict=True):
        assert min((frame - picture).abs().max() for frame in frames) < 1e-5


def test_text_to_video_begins_as_the_first_chunk_but_for_the_frames_a_second(begun):
    stage = TextToVideoStage(begun)
    was = StreamingUNet3D.from_pretrained(begun / "first_chunk").float().state_dict()
    now = stage.learner.state_dict()
    assert {name for name in now if name not in was} == {
        f"fps_embedding.linear_{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")
    }
    assert all(torch.equal(now[name], was[name]) for name in now if name in was)
    assert {name for name, _ in stage.learner.named_parameters()} - learned(stage, 0.0) == set()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_image_to_video_learns_the_projection_first_and_both_checkpoints_are_bundled(begun, tmp_path):
    first = TextToVideoStage(begun)
    first.finish(first.learner)
    stage = ImageToVideoStage(begun)
    unet = stage.learner["unet"]
    picture, x = torch.rand(1, 3, 64, 64), torch.randn(1, 4, 16, 8, 8)
    text = stage.read(["a red circle"])
    options = {"timestep_cond": 8.0, "pooled": text.pooled}
    with torch.no_grad():
        blind, before = (network(x, 500, text.tokens, **options).sample for network in (unet, first.learner))
        sees = unet(x, 500, unet.image_context(text.tokens, stage.see(picture)), **options).sample
    assert torch.equal(blind, before)
    assert not torch.allclose(sees, blind)

    everything = {name for name, _ in stage.learner.named_parameters()}
    asked = ("image_projection.", "unet.image_keys.", "unet.image_values.")
    assert learned(stage, 0.0) == {name for name in everything if name.startswith(asked)}
    assert learned(stage, 0.9) == everything

    stage.finish(stage.learner)
    (tmp_path / "tiny-shapes").symlink_to(BUNDLED / "tiny-shapes")
    for what in BUNDLES["tiny-videocrafter"]:
        bundle(begun, tmp_path / what.name, what)
        links = {part.name for part in (tmp_path / what.name).iterdir() if part.is_symlink()}
        assert links == {"tokenizer", "text_encoder", "vae", "image_encoder"} & what.parts.keys()
        checked: list[str] = []
        assert not list(problems(tmp_path / what.name, checked.append))
        assert "vae/diffusion_pytorch_model.safetensors" in checked
        parts = VideoCrafterPipeline.from_pretrained(tmp_path / what.name).to(torch.float32)
        image = None if what.name == "tiny-videocrafter" else (picture[0].movedim(0, -1) * 255).byte().numpy()
        frames = draw_clip(parts, Clip("a red circle moving up", 64, 64, seed=0, image=image, steps=2))
        assert frames.shape == (16, 64, 64, 3)
