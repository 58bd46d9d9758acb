"""The training loop that every stage shares: time-boxed, resumable, averaged over processes, with an EMA.

Owns the optimizer, the learning-rate curve and the progress file; a stage owns the networks and the loss.
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


@dataclass(frozen=True, slots=True)
class Curve:
    """How a stage learns: AdamW with warm-up, a flat part, and a cosine to `last` times the rate."""

    rate: float
    warm_up_steps: int = 100
    flat: float = 0.4  # share of the time at full rate
    last: float = 0.03
    weight_decay: float = 1e-2
    clip: float = 1.0
    ema: float = 0.999

    def at(self, step: int, done: float) -> float:
        """The rate at a step, `done` being the share of the stage's time that has passed."""
        after = max(0.0, (min(done, 1.0) - self.flat) / (1 - self.flat))
        cosine = self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * after))
        return self.rate * min(1.0, (step + 1) / self.warm_up_steps) * cosine


class Stage(Protocol):
    """What a stage of training brings: what learns, its loss, and how its result is kept."""

    name: str
    curve: Curve
    learner: Any

    def loss(self, rng: random.Random, done: float) -> Tensor:
        """The loss of one fresh batch; `done` is the share of the stage's time that has passed."""

    def finish(self, learner: Any) -> str:
        """Write the (averaged) weights into the checkpoint; returns a line that says how good they are."""


def begin(part: Any, folder: Path, **config: Any) -> Any:
    """The part that an earlier training left in `folder`, to be improved, else a fresh one."""
    return part.from_pretrained(folder) if folder.is_dir() else part(**config)


def train(build: Callable[[], Stage], *, minutes: float, progress: Path, processes: int, seed: int) -> None:
    """Train a stage for so many minutes in all, however often it is stopped and begun again.

    `progress` is the file that a later call resumes from. One thread a process: two processes of one thread
    are faster on small networks than one process of two.
    """
    if processes == 1:
        return _work(0, build, minutes, progress, 1, seed)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(20000 + os.getpid() % 20000))
    spawn(_work, (build, minutes, progress, processes, seed), nprocs=processes)


def _work(rank: int, build: Callable[[], Stage], minutes: float, progress: Path, processes: int, seed: int) -> None:
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
    torch.manual_seed(seed + 1000 * step + rank + 1)
    rng = random.Random(seed + 1000 * step + rank + 1)
    begun, told, kept, losses = time.monotonic(), 0.0, time.monotonic(), []
    done = before / (minutes * 60)
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = stage.curve.at(step, done)
        optimizer.zero_grad(set_to_none=True)
        loss = stage.loss(rng, done)
        loss.backward()
        elapsed = _average_gradients(weights, before + time.monotonic() - begun, processes)
        nn.utils.clip_grad_norm_(weights, stage.curve.clip)
        optimizer.step()
        _follow(average, stage.learner, min(stage.curve.ema, (1 + step) / (10 + step)))
        step, done = step + 1, elapsed / (minutes * 60)
        losses.append(loss.item())
        if rank == 0 and elapsed - told > 20:
            print(
                f"{stage.name} {elapsed / 60:6.1f} of {minutes:g} min  "
                f"step {step}  loss {sum(losses) / len(losses):.4f}",
                flush=True,
            )
            told, losses = elapsed, []
        if rank == 0 and time.monotonic() - kept > 120:
            _keep(progress, stage.learner, average, optimizer, step, elapsed)
            kept = time.monotonic()
    if rank == 0:
        _keep(progress, stage.learner, average, optimizer, step, max(before, minutes * 60))
        print(f"{stage.name} done after {step} steps: {stage.finish(average)}", flush=True)
    if processes > 1:
        dist.barrier()
        dist.destroy_process_group()


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
