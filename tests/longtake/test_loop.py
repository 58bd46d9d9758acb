"""The training loop can be killed, split over processes and watched, and ends with the same weights."""

from __future__ import annotations

import functools
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from longtake.training import loop
from longtake.training.ahead import read_ahead
from longtake.training.recipe import StageRecipe

LINE = StageRecipe(steps=1, rate=0.05, warm_up_steps=1, ema=0.9, precision="no")


class LineStage:
    """y = 3 x, learned by one weight; writes what it found into a file."""

    name = "line"
    frozen = ()

    def __init__(self, folder: Path, recipe: StageRecipe = LINE):
        self.folder, self.recipe = folder, recipe
        self.learner: nn.Module = nn.Linear(1, 1)

    def draw(self, rng, done):
        return rng.gauss(0, 1)

    def loss(self, batch, rng, done):
        x = torch.randn(32, 1) + batch
        return (self.learner(x) - 3 * x).square().mean()

    def finish(self, learner):
        (self.folder / "slope").write_text(str(learner.weight.item()))
        return "found"


class SlowLine(LineStage):
    """The same, but slow enough to be killed midway by a test that hardly gets a turn."""

    def draw(self, rng, done):
        time.sleep(0.01)
        return super().draw(rng, done)


def learn(folder: Path, seconds: float) -> None:
    build = functools.partial(LineStage, folder)
    budget = loop.Budget(minutes=seconds / 60)
    loop.train(build, budget=budget, progress=folder / "line.pt", processes=1, seed=1)


def learn_steps(build: functools.partial, progress: Path, steps: int, processes: int = 1) -> None:
    torch.set_num_threads(1)  # a sum's last bits depend on their number
    loop.train(build, budget=loop.Budget(steps=steps), progress=progress, processes=processes, seed=1)


def kill_midway(build: functools.partial, progress: Path, steps: int, processes: int = 1) -> None:
    """Train in a process of its own, and kill it once a progress file is there. Those that it started go with it."""
    training = multiprocessing.get_context("spawn").Process(
        target=learn_steps, args=(build, progress, steps, processes)
    )
    training.start()
    try:
        while training.is_alive() and not progress.exists():
            time.sleep(0.01)
    finally:
        children = psutil.Process(training.pid).children(recursive=True)
        training.kill()
        training.join()
    assert psutil.wait_procs(children, timeout=30)[1] == []


def weights_of(progress: Path) -> dict[str, torch.Tensor]:
    return torch.load(progress, weights_only=True)["learner"]


def curves(folder: Path) -> dict[str, list]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # the others do without

    events = EventAccumulator(str(folder)).Reload()
    return {name: events.Scalars(name) for name in events.Tags()["scalars"]}


def test_a_stage_learns_and_keeps_its_average(tmp_path):
    learn_steps(functools.partial(LineStage, tmp_path), tmp_path / "line.pt", 200)
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


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_stage_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path, processes):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    recipe = LINE.model_copy(update={"keep_every_s": 0, "accumulation": 2, "ahead": 2})
    learn_steps(functools.partial(LineStage, tmp_path / "whole", recipe), tmp_path / "whole.pt", 200, processes)
    build = functools.partial(LineStage, tmp_path / "killed", recipe)
    kill_midway(functools.partial(SlowLine, *build.args), tmp_path / "killed.pt", 200, processes)
    stopped_at = torch.load(tmp_path / "killed.pt", weights_only=True)["step"]
    assert 0 < stopped_at < 200
    learn_steps(build, tmp_path / "killed.pt", 200, processes)
    assert (tmp_path / "killed" / "slope").read_text() == (tmp_path / "whole" / "slope").read_text()


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """What two processes have learned in 30 steps; to be copied, and not gone on with."""
    folder = tmp_path_factory.mktemp("by-two")
    learn_steps(functools.partial(LineStage, folder), folder / "line.pt", 30, processes=2)
    return folder


@pytest.mark.long
def test_processes_of_a_launcher_learn_what_processes_started_here_learn(by_two, tmp_path):
    (tmp_path / "launched.py").write_text(
        "from functools import partial; from pathlib import Path; from tests.longtake.test_loop import *\n"
        f"learn_steps(partial(LineStage, Path({str(tmp_path)!r})), Path({str(tmp_path / 'launched.pt')!r}), 30)\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    there = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, str(tmp_path / "launched.py")], env=there, check=True, timeout=240)
    here, launched = weights_of(by_two / "line.pt"), weights_of(tmp_path / "launched.pt")
    assert all(torch.equal(here[name], launched[name]) for name in here)


def test_gradients_of_accumulated_batches_are_those_of_their_mean(tmp_path):
    recipe = LINE.model_copy(update={"accumulation": 2})
    learn_steps(functools.partial(LineStage, tmp_path, recipe), tmp_path / "two.pt", 1)
    torch.manual_seed(1)
    stage = LineStage(tmp_path)
    for part in range(2):
        chance = loop._chance(1, 0, 0, part)
        batch = stage.draw(chance.rng, 0.0)
        torch.manual_seed(chance.seed)
        (stage.loss(batch, chance.rng, 0.0) / 2).backward()
    norm = torch.stack([weight.grad.flatten() for weight in stage.learner.parameters()]).norm()
    assert curves(tmp_path / "logs" / "line")["gradient_norm"][0].value == pytest.approx(norm.item())


def test_batches_are_the_same_whether_they_are_read_ahead_or_not():
    at_once, ahead = read_ahead(str, 5, 0), read_ahead(str, 5, 3)
    assert [next(ahead) for _ in range(9)] == [next(at_once) for _ in range(9)]
    ahead.close()


def test_what_goes_wrong_in_reading_ahead_is_not_lost():
    def read(number: int) -> int:
        return 1 // (2 - number)

    batches = read_ahead(read, 1, 2)
    assert next(batches) == 1
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_curves_are_written_for_tensorboard_and_go_on_after_a_stop(by_two, tmp_path):
    shutil.copytree(by_two, tmp_path, dirs_exist_ok=True)
    learn_steps(functools.partial(LineStage, tmp_path), tmp_path / "line.pt", 60)
    assert len(list((tmp_path / "logs" / "line").iterdir())) == 2  # one a sitting: one process writes
    drawn = curves(tmp_path / "logs" / "line")
    assert set(drawn) == {"loss", "rate", "gradient_norm", "steps_per_s", "data_s"}
    assert [point.step for point in drawn["loss"]] == [30, 60]
    assert drawn["loss"][1].value < drawn["loss"][0].value
    assert drawn["steps_per_s"][0].value > 0


def test_a_progress_file_of_an_earlier_version_is_gone_on_with(tmp_path):
    """They held frozen weights too, and no scaler."""
    build = functools.partial(LineStage, tmp_path)
    learn_steps(build, tmp_path / "line.pt", 30)
    state = torch.load(tmp_path / "line.pt", weights_only=True)
    del state["scaler"]
    for weights in (state["learner"], state["average"]):
        weights["frozen"] = torch.zeros(3)
    torch.save(state, tmp_path / "before.pt")
    learn_steps(build, tmp_path / "line.pt", 40)
    learn_steps(build, tmp_path / "before.pt", 40)
    now, before = weights_of(tmp_path / "line.pt"), weights_of(tmp_path / "before.pt")
    assert all(torch.equal(now[name], before[name]) for name in now)


def test_a_budget_is_in_minutes_or_in_steps():
    with pytest.raises(ValueError, match="in minutes or in steps"):
        loop.Budget(minutes=1, steps=1)


def test_the_rate_warms_up_stays_and_falls_to_its_last():
    recipe = StageRecipe(steps=200, rate=1.0, warm_up_steps=10, flat=0.5, last=0.1)
    assert recipe.rate_at(0, 0.0) == pytest.approx(0.1)
    assert recipe.rate_at(100, 0.5) == pytest.approx(1.0)
    assert recipe.rate_at(100, 0.75) == pytest.approx(0.55)
    assert recipe.rate_at(100, 1.0) == pytest.approx(0.1)
    assert StageRecipe(steps=200, rate=1.0, warm_up_steps=0, flat=1).rate_at(0, 1.0) == 1.0
