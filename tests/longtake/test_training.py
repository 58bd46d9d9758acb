"""Training can be stopped at any moment, and every stage learns what it is there to learn."""

from __future__ import annotations

import functools
import multiprocessing
import random
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from longtake.inventory import CHECKSUMS, problems
from longtake.training import loop
from longtake.training.autoencoder import AutoencoderStage
from longtake.training.bundle import PARTS, bundle, unbundle
from longtake.training.clip_pair import ClipStage
from longtake.training.first_chunk import FirstChunkStage
from longtake.training.layout import LayoutStage
from longtake.training.refiner import RefinerStage
from longtake.training.streaming import ApmStage, CamStage
from longtake.training.text import TextStage
from models.loading import BUNDLED, load_pipeline
from tests.support.house import until

#: What a stage goes on from: the part whose weights it must find again.
PART_OF = {"vae": "vae", "first_chunk": "first_chunk", "cam": "cam", "apm": "cam", "refiner": "refiner"}


class LineStage:
    """y = 3 x, learned by one weight; writes what it found into a file."""

    name = "line"
    curve = loop.Curve(rate=0.05, warm_up_steps=1, ema=0.9)

    def __init__(self, folder: Path):
        self.folder = folder
        self.learner: nn.Module = nn.Linear(1, 1)

    def loss(self, rng, done):
        x = torch.randn(32, 1)
        return (self.learner(x) - 3 * x).square().mean()

    def finish(self, learner):
        (self.folder / "slope").write_text(str(learner.weight.item()))
        return "found"


def learn(folder: Path, seconds: float, processes: int = 1) -> None:
    build = functools.partial(LineStage, folder)
    budget = loop.Budget(minutes=seconds / 60)
    loop.train(build, budget=budget, progress=folder / "line.pt", processes=processes, seed=1)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stage_learns_and_keeps_its_average(tmp_path, processes):
    learn(tmp_path, 2.0, processes)
    assert float((tmp_path / "slope").read_text()) == pytest.approx(3, abs=0.1)


def test_a_stage_that_was_stopped_goes_on_where_it_was(tmp_path):
    learn(tmp_path, 0.5)
    steps = torch.load(tmp_path / "line.pt", weights_only=True)["step"]
    learn(tmp_path, 1.0)
    state = torch.load(tmp_path / "line.pt", weights_only=True)
    assert state["step"] > steps
    assert state["elapsed_s"] == pytest.approx(1.0, abs=0.2)


def test_a_stage_that_is_done_is_not_trained_again(tmp_path):
    learn(tmp_path, 0.5)
    steps = torch.load(tmp_path / "line.pt", weights_only=True)["step"]
    learn(tmp_path, 0.5)
    assert torch.load(tmp_path / "line.pt", weights_only=True)["step"] == steps


def learn_steps(build: functools.partial, progress: Path, steps: int, processes: int) -> None:
    torch.set_num_threads(1)  # a sum's last bits depend on their number
    budget = loop.Budget(steps=steps)
    loop.train(build, budget=budget, progress=progress, processes=processes, seed=1, keep_every_s=0)


def kill_midway(build: functools.partial, progress: Path, steps: int, processes: int) -> None:
    """Train in a process of its own, and kill it (and those that it started) once a progress file is there."""
    training = multiprocessing.get_context("spawn").Process(
        target=learn_steps, args=(build, progress, steps, processes)
    )
    training.start()
    try:
        until(lambda: progress.exists() or training.exitcode is not None, "progress")
    finally:
        family = [*psutil.Process(training.pid).children(recursive=True), training]
        for process in family:
            process.kill()
        training.join()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stage_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path, processes):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    learn_steps(functools.partial(LineStage, tmp_path / "whole"), tmp_path / "whole.pt", 400, processes)
    build = functools.partial(LineStage, tmp_path / "killed")
    kill_midway(build, tmp_path / "killed.pt", 400, processes)
    stopped_at = torch.load(tmp_path / "killed.pt", weights_only=True)["step"]
    assert 0 < stopped_at < 400
    learn_steps(build, tmp_path / "killed.pt", 400, processes)
    assert (tmp_path / "killed" / "slope").read_text() == (tmp_path / "whole" / "slope").read_text()


@pytest.mark.timeout(600)
def test_cam_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path):
    for name in ("whole", "killed"):
        unbundle(BUNDLED / "tiny-shapes", tmp_path / name)
    learn_steps(functools.partial(CamStage, tmp_path / "whole"), tmp_path / "whole.pt", 4, 1)
    build = functools.partial(CamStage, tmp_path / "killed")
    kill_midway(build, tmp_path / "killed.pt", 4, 1)
    assert torch.load(tmp_path / "killed.pt", weights_only=True)["step"] < 4
    learn_steps(build, tmp_path / "killed.pt", 4, 1)
    weights = "diffusion_pytorch_model.safetensors"
    for part in ("cam", "unet"):
        assert (tmp_path / "killed" / part / weights).read_bytes() == (tmp_path / "whole" / part / weights).read_bytes()


def test_a_budget_is_in_minutes_or_in_steps():
    with pytest.raises(ValueError, match="in minutes or in steps"):
        loop.Budget(minutes=1, steps=1)


def test_the_rate_warms_up_stays_and_falls_to_its_last():
    curve = loop.Curve(rate=1.0, warm_up_steps=10, flat=0.5, last=0.1)
    assert curve.at(0, 0.0) == pytest.approx(0.1)
    assert curve.at(100, 0.5) == pytest.approx(1.0)
    assert curve.at(100, 0.75) == pytest.approx(0.55)
    assert curve.at(100, 1.0) == pytest.approx(0.1)


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
        loss = stage.loss(rng, 0.0)
        loss.backward()
        learning = [p for p in stage.learner.parameters() if p.requires_grad]
        assert loss.isfinite(), stage.name
        assert all(p.grad is not None for p in learning), stage.name
        stage.finish(stage.learner)
    bundle(tmp_path / "trained", tmp_path / "checkpoint")
    assert (tmp_path / "checkpoint" / CHECKSUMS).is_file()
    assert not list(problems(tmp_path / "checkpoint", lambda file: None))
    pipeline = load_pipeline(tmp_path / "checkpoint")
    assert {name for name, part in pipeline.components.items() if part is not None} == set(PARTS)
    assert all(p.dtype is torch.float32 for p in pipeline.unet.parameters())

    unbundle(tmp_path / "checkpoint", tmp_path / "further")
    for build in (AutoencoderStage, FirstChunkStage, CamStage, ApmStage, RefinerStage):
        stage = build(tmp_path / "further")
        stage.loss(rng, 0.0).backward()
        kept = stage.learner["cam"] if isinstance(stage, CamStage) else stage.learner
        part = PART_OF[stage.name]
        was = dict(PARTS[part].from_pretrained(tmp_path / "checkpoint" / part).float().named_parameters())
        assert all(torch.equal(p, was[name]) for name, p in kept.named_parameters()), stage.name


def test_the_apm_stage_leaves_the_temporal_layers_as_they_are(tmp_path):
    for build in (AutoencoderStage, TextStage, LayoutStage, ClipStage, FirstChunkStage, CamStage, ApmStage):
        stage = build(tmp_path)
        stage.finish(stage.learner)
    frozen = {name for name, p in stage.learner["unet"].named_parameters() if not p.requires_grad}
    temporal = ("transformer_in", "temp_attentions", "temp_convs")
    assert frozen
    assert all(any(part in name for part in temporal) for name in frozen)
