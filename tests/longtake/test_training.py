"""Training can be stopped at any moment, and every stage learns what it is there to learn."""

from __future__ import annotations

import functools
import random

import pytest
import torch

from longtake.checkpoints.inventory import CHECKSUMS, problems
from longtake.training.autoencoder import AutoencoderStage
from longtake.training.bundle import TINY_SHAPES, bundle, unbundle
from longtake.training.clip_pair import ClipStage
from longtake.training.first_chunk import FirstChunkStage
from longtake.training.layout import LayoutStage
from longtake.training.recipe import tiny_shapes
from longtake.training.refiner import RefinerStage
from longtake.training.streaming import ApmStage, CamStage
from longtake.training.text import TextStage
from models.loading import BUNDLED, load_pipeline
from tests.longtake.test_loop import kill_midway, learn_steps

#: What a stage goes on from: the part whose weights it must find again.
PART_OF = {"vae": "vae", "first_chunk": "first_chunk", "cam": "cam", "apm": "cam", "refiner": "refiner"}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_cam_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path):
    for name in ("whole", "killed"):
        unbundle(BUNDLED / "tiny-shapes", tmp_path / name)
    recipe = tiny_shapes("cam").model_copy(update={"keep_every_s": 0, "batch": 2})
    learn_steps(functools.partial(CamStage, tmp_path / "whole", recipe), tmp_path / "whole.pt", 4)
    build = functools.partial(CamStage, tmp_path / "killed", recipe)
    kill_midway(build, tmp_path / "killed.pt", 4)
    assert torch.load(tmp_path / "killed.pt", weights_only=True)["step"] < 4
    learn_steps(build, tmp_path / "killed.pt", 4)
    weights = "diffusion_pytorch_model.safetensors"
    for part in ("cam", "unet"):
        assert (tmp_path / "killed" / part / weights).read_bytes() == (tmp_path / "whole" / part / weights).read_bytes()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_stage_builds_on_those_before_and_the_result_loads(tmp_path):
    torch.set_num_threads(1)
    rng = random.Random(0)
    for build in (
        AutoencoderStage,
        TextStage,
        LayoutStage,
        ClipStage,
        FirstChunkStage,
        CamStage,
        ApmStage,
        RefinerStage,
    ):
        stage = build(tmp_path / "trained")
        loss = stage.loss(stage.draw(rng, 0.0), rng, 0.0)
        loss.backward()
        learning = [p for p in stage.learner.parameters() if p.requires_grad]
        assert loss.isfinite(), stage.name
        assert all(p.grad is not None for p in learning), stage.name
        stage.finish(stage.learner)
        if build is ApmStage:
            only_what_looks_at_one_frame_learns(stage.learner["unet"])
    bundle(tmp_path / "trained", tmp_path / "checkpoint")
    assert (tmp_path / "checkpoint" / CHECKSUMS).is_file()
    assert not list(problems(tmp_path / "checkpoint", lambda file: None))
    pipeline = load_pipeline(tmp_path / "checkpoint")
    assert {name for name, part in pipeline.components.items() if part is not None} == set(TINY_SHAPES.parts)
    assert all(p.dtype is torch.float32 for p in pipeline.unet.parameters())

    unbundle(tmp_path / "checkpoint", tmp_path / "further")
    for build in (AutoencoderStage, FirstChunkStage, CamStage, ApmStage, RefinerStage):
        stage = build(tmp_path / "further")
        stage.loss(stage.draw(rng, 0.0), rng, 0.0).backward()
        kept = stage.learner["cam"] if isinstance(stage, CamStage) else stage.learner
        part = PART_OF[stage.name]
        was = dict(TINY_SHAPES.parts[part].from_pretrained(tmp_path / "checkpoint" / part).float().named_parameters())
        assert all(torch.equal(p, was[name]) for name, p in kept.named_parameters()), stage.name


def only_what_looks_at_one_frame_learns(unet):
    """APM's stage leaves the temporal layers as they are."""
    frozen = {name for name, p in unet.named_parameters() if not p.requires_grad}
    temporal = ("transformer_in", "temp_attentions", "temp_convs")
    assert frozen
    assert all(any(part in name for part in temporal) for name in frozen)
