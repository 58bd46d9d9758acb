"""The training loop that every stage shares: resumable, averaged over processes, with an EMA.

Owns the order of things in a step; a stage owns the networks and the loss. What is random in a step is a function of
(seed, step, process), so a training of so many steps that was killed and begun again ends with the very weights of one
that was left alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import ProjectConfiguration
from torch import Tensor, nn

from longtake.training import processes as crowd
from longtake.training.ahead import read_ahead
from longtake.training.average import Average
from longtake.training.budget import Budget as Budget
from longtake.training.placement import half_of, place, precision_on, take_back
from longtake.training.progress import Progress
from longtake.training.recipe import StageRecipe
from longtake.training.report import Report


class Stage(Protocol):
    """What a stage of training brings: what learns, its loss, and how its result is kept."""

    name: str
    recipe: StageRecipe
    learner: Any
    frozen: Sequence[nn.Module]  # networks that it uses and does not change

    def draw(self, rng: random.Random, done: float) -> Any:
        """A fresh batch, on the CPU, by `rng` alone; `done` is the share of the stage's budget that is spent."""

    def loss(self, batch: Any, rng: random.Random, done: float) -> Tensor:
        """Its loss, on the learner's device; in the recipe's precision, which is set around it."""

    def finish(self, learner: Any) -> str:
        """Write the (averaged) weights into the checkpoint; returns a line that says how good they are."""


def train(build: Callable[[], Stage], *, budget: Budget, progress: Path, processes: int, seed: int) -> None:
    """Train a stage until its budget is spent, however often it is stopped and begun again.

    `progress` is the file that a later call resumes from; TensorBoard's curves stand in `logs` beside it.
    """
    crowd.start(_work, build, budget, progress, seed, processes=processes)


def _work(build: Callable[[], Stage], budget: Budget, progress: Path, seed: int) -> None:
    state = crowd.join()
    torch.manual_seed(seed)  # every process starts from the same weights
    stage = build()
    AcceleratorState._reset_state()  # accelerate knows one precision a process, and every stage has its own
    accelerator = Accelerator(
        mixed_precision=precision_on(state.device, stage.recipe.precision),
        cpu=state.device.type == "cpu",
        log_with="tensorboard",
        project_config=ProjectConfiguration(str(progress.parent), logging_dir=str(progress.parent / "logs")),
    )
    whole = place(stage, accelerator.device, half_of(accelerator.device, stage.recipe.precision))
    training = Training(stage, accelerator, budget, progress, seed)
    step = training.run()
    if accelerator.is_main_process:
        training.average.take_over()
        take_back(stage, whole)
        accelerator.print(f"{stage.name} done after {step} steps: {stage.finish(stage.learner)}", flush=True)
    accelerator.wait_for_everyone()


@dataclass(frozen=True, slots=True)
class Chance:
    """What is random in one batch: Python's generator, and the seed of torch's."""

    rng: random.Random
    seed: int


class Training:
    """One stage in one process."""

    def __init__(self, stage: Stage, accelerator: Accelerator, budget: Budget, progress: Path, seed: int):
        self.stage, self.recipe, self.accelerator = stage, stage.recipe, accelerator
        self.budget, self.seed = budget, seed
        named = {name: weight for name, weight in stage.learner.named_parameters() if weight.requires_grad}
        self.weights = list(named.values())
        recipe = stage.recipe
        adam = torch.optim.AdamW(self.weights, recipe.rate, betas=recipe.betas, weight_decay=recipe.weight_decay)
        self.optimizer = accelerator.prepare_optimizer(adam)
        self.average = Average(named, recipe.ema)
        self.progress = Progress(progress, named, self.average, self.optimizer, accelerator.scaler)

    def run(self) -> int:
        """Go on from the progress file to the end of the budget; returns the number of steps in all."""
        step, before = self.progress.resume()
        begun = kept = time.monotonic()
        self.elapsed = before
        batches = read_ahead(self._read, step * self.recipe.accumulation, self.recipe.ahead)
        report = Report(self.accelerator, self.stage.name, self.budget, step)
        while (done := self.budget.spent(step, self.elapsed)) < 1:
            figures = self._step(step, done, batches, lambda: before + time.monotonic() - begun)
            step += 1
            report.add(step, self.budget.spent(step, self.elapsed), figures)
            if self.accelerator.is_main_process and time.monotonic() - kept > self.recipe.keep_every_s:
                self.progress.keep(step, self.elapsed)
                kept = time.monotonic()
        batches.close()
        report.close(step)
        if self.accelerator.is_main_process:
            self.progress.keep(step, self.elapsed)
        return step

    def _step(
        self, step: int, done: float, batches: Iterator[tuple[Chance, Any]], clock: Callable[[], float]
    ) -> dict[str, float]:
        """One step of the optimizer; its figures."""
        rate = self.recipe.rate_at(step, done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss, waited_s = 0.0, 0.0
        for _ in range(self.recipe.accumulation):
            asked = time.monotonic()
            chance, batch = next(batches)
            waited_s += time.monotonic() - asked
            loss += self._backward(chance, batch, done)
        self.elapsed, loss = crowd.agree(self.weights, [clock(), loss])
        norm = self.accelerator.clip_grad_norm_(self.weights, self.recipe.clip)
        self.optimizer.step()
        self.average.follow(step)
        return {"loss": loss, "rate": rate, "gradient_norm": float(norm), "data_s": waited_s}

    def _backward(self, chance: Chance, batch: Any, done: float) -> float:
        """Add a batch's share to the gradients; its share of the loss."""
        torch.manual_seed(chance.seed)
        with self.accelerator.autocast():
            loss = self.stage.loss(batch, chance.rng, done) / self.recipe.accumulation
        self.accelerator.backward(loss)
        return loss.item()

    def _read(self, number: int) -> tuple[Chance, Any]:
        """Batch number so and so of this process."""
        step, part = divmod(number, self.recipe.accumulation)
        chance = _chance(self.seed, step, self.accelerator.process_index, part)
        return chance, self.stage.draw(chance.rng, self.budget.spent(step, self.elapsed))


def _chance(seed: int, step: int, process: int, part: int) -> Chance:
    """The chance of one batch of a step: of the first, of (seed, step, process)."""
    rng = random.Random(f"{seed} {step} {process}" + (f" {part}" if part else ""))
    return Chance(rng, rng.getrandbits(63))
