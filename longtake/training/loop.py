"""The training loop that every stage shares: resumable, averaged over processes, with an EMA.

Owns the optimizer, the learning-rate curve and the progress file; a stage owns the networks and the loss. What is
random in a step is a function of (seed, step, process), so a training of so many steps that was killed and begun again
ends with the very weights of one that was left alone.
"""

from __future__ import annotations

import copy
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

TELL_EVERY_S = 20.0


@dataclass(frozen=True, slots=True)
class Curve:
    """How a stage learns: AdamW with warm-up, a flat part, and a cosine to `last` times the rate."""

    rate: float
    warm_up_steps: int = 100
    flat: float = 0.4  # share of the budget at full rate
    last: float = 0.03
    weight_decay: float = 1e-2
    clip: float = 1.0
    ema: float = 0.999

    def at(self, step: int, done: float) -> float:
        """The rate at a step, `done` being the share of the stage's budget that is spent."""
        after = max(0.0, (min(done, 1.0) - self.flat) / (1 - self.flat))
        cosine = self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * after))
        return self.rate * min(1.0, (step + 1) / self.warm_up_steps) * cosine


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a stage learns, in all its sittings: so many minutes, or so many steps."""

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("A budget is in minutes or in steps.")

    def spent(self, step: int, elapsed_s: float) -> float:
        """The share of it that is spent; 1 and more: all."""
        return step / self.steps if self.steps is not None else elapsed_s / (60 * (self.minutes or 0.0))

    def __str__(self) -> str:
        return f"{self.minutes:g} minutes" if self.steps is None else f"{self.steps} steps"


class Stage(Protocol):
    """What a stage of training brings: what learns, its loss, and how its result is kept."""

    name: str
    curve: Curve
    learner: Any

    def loss(self, rng: random.Random, done: float) -> Tensor:
        """The loss of one fresh batch; `done` is the share of the stage's budget that is spent."""

    def finish(self, learner: Any) -> str:
        """Write the (averaged) weights into the checkpoint; returns a line that says how good they are."""


def begin(part: Any, folder: Path, **config: Any) -> Any:
    """The part that an earlier training left in `folder`, to be improved, else a fresh one."""
    return part.from_pretrained(folder) if folder.is_dir() else part(**config)


def train(
    build: Callable[[], Stage],
    *,
    budget: Budget,
    progress: Path,
    processes: int,
    seed: int,
    keep_every_s: float = 120.0,
) -> None:
    """Train a stage until its budget is spent, however often it is stopped and begun again.

    `progress` is the file that a later call resumes from. One thread a process: two processes of one thread
    are faster on small networks than one process of two.
    """
    if processes == 1:
        return _work(0, build, budget, progress, 1, seed, keep_every_s)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(20000 + os.getpid() % 20000))
    spawn(_work, (build, budget, progress, processes, seed, keep_every_s), nprocs=processes)


def _work(
    rank: int,
    build: Callable[[], Stage],
    budget: Budget,
    progress: Path,
    processes: int,
    seed: int,
    keep_every_s: float,
) -> None:
    torch.set_num_threads(1 if processes > 1 else torch.get_num_threads())
    if processes > 1:
        dist.init_process_group("gloo", rank=rank, world_size=processes)
    torch.manual_seed(seed)  # every process starts from the same weights
    stage = build()
    weights = [p for p in stage.learner.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=stage.curve.rate, betas=(0.9, 0.99), weight_decay=stage.curve.weight_decay
    )
    average = copy.deepcopy(stage.learner).eval().requires_grad_(False)
    step, before = _resume(progress, stage.learner, average, optimizer)
    elapsed, losses = before, []
    begun = told = kept = time.monotonic()
    while (done := budget.spent(step, elapsed)) < 1:
        rng = _chance(seed, step, rank)
        for group in optimizer.param_groups:
            group["lr"] = stage.curve.at(step, done)
        optimizer.zero_grad(set_to_none=True)
        loss = stage.loss(rng, done)
        loss.backward()
        elapsed = _average_gradients(weights, before + time.monotonic() - begun, processes)
        nn.utils.clip_grad_norm_(weights, stage.curve.clip)
        optimizer.step()
        _follow(average, stage.learner, min(stage.curve.ema, (1 + step) / (10 + step)))
        step += 1
        losses.append(loss.item())
        if rank == 0 and time.monotonic() - told > TELL_EVERY_S:
            share, mean = budget.spent(step, elapsed), sum(losses) / len(losses)
            print(f"{stage.name} {share:6.1%} of {budget}  step {step}  loss {mean:.4f}", flush=True)
            told, losses = time.monotonic(), []
        if rank == 0 and time.monotonic() - kept > keep_every_s:
            _keep(progress, stage.learner, average, optimizer, step, elapsed)
            kept = time.monotonic()
    if rank == 0:
        _keep(progress, stage.learner, average, optimizer, step, elapsed)
        print(f"{stage.name} done after {step} steps: {stage.finish(average)}", flush=True)
    if processes > 1:
        dist.barrier()
        dist.destroy_process_group()


def _chance(seed: int, step: int, rank: int) -> random.Random:
    """The random generator of one step of one process; torch's is seeded with it."""
    rng = random.Random(f"{seed} {step} {rank}")
    torch.manual_seed(rng.getrandbits(63))
    return rng


def _average_gradients(weights: list[nn.Parameter], elapsed: float, processes: int) -> float:
    """Average the gradients over the processes in one flat message; returns process 0's clock, so that all agree."""
    if processes == 1:
        return elapsed
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in weights]
    clock = torch.tensor([elapsed if dist.get_rank() == 0 else 0.0])
    flat = torch.cat([g.reshape(-1) for g in grads] + [clock])
    dist.all_reduce(flat)
    parts = flat[:-1].split([g.numel() for g in grads])
    for p, part in zip(weights, parts, strict=True):
        p.grad = (part / processes).view_as(p)
    return flat[-1].item()


@torch.no_grad()
def _follow(average: nn.Module, learner: nn.Module, decay: float) -> None:
    mine: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(learner.parameters())
    torch._foreach_lerp_(mine, theirs, 1 - decay)


def _keep(
    file: Path, learner: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, step: int, s: float
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "learner": learner.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save({**state, "step": step, "elapsed_s": s}, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def _resume(file: Path, learner: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    if not file.exists():
        return 0, 0.0
    state = torch.load(file, weights_only=True, mmap=True)
    learner.load_state_dict(state["learner"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["elapsed_s"]
