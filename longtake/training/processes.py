"""The processes of a training: one, several of a CPU that are started here, or those that `accelerate launch` starts.

Owns who of them does what alone, and how they agree on gradients; accelerate connects them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import nn
from torch.multiprocessing.spawn import spawn

from longtake.supervisor import die_with_parent

MESSAGE = 2**26  # gradients that are averaged at a time, a quarter of a gigabyte


def start(work: Callable[..., None], *arguments: Any, processes: int) -> None:
    """Do `work(*arguments)` in so many processes, of one thread each, of this machine's CPU.

    Two of one thread are faster on small networks than one of two. Where a launcher has started this process
    already, the number is the launcher's.
    """
    if processes == 1 or is_launched():
        if not torch.cuda.is_available() and not is_launched():
            torch.set_num_threads(1)  # a sum's last bits depend on their number, and a resumed training on its bits
        work(*arguments)
    else:
        port = 20000 + os.getpid() % 20000
        spawn(_member, (processes, port, work, arguments), nprocs=processes)


def is_launched() -> bool:
    """Whether this is one of several processes that a launcher (accelerate, torchrun) has started."""
    return "LOCAL_RANK" in os.environ


def _member(rank: int, processes: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="true")
    torch.set_num_threads(1)
    die_with_parent()
    work(*arguments)
    leave()


def join() -> PartialState:
    """This process' place among all; on the CPU where there is no GPU, or where it is asked for.

    Others wait while the first one writes a large checkpoint, so they are patient.
    """
    cpu = not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return PartialState(cpu=cpu, timeout=timedelta(hours=2)) if is_launched() else PartialState(cpu=cpu)


def leave() -> None:
    join().destroy_process_group()


def agree(weights: list[nn.Parameter], figures: list[float]) -> list[float]:
    """Average the gradients and the figures over all processes.

    Not by DistributedDataParallel: after its first step it puts the gradients into other buckets, so a resumed training
    of more than two processes would add them up in another order, and end with other bits.
    """
    processes = join().num_processes
    if processes == 1:
        return figures
    for message in _messages(weights):
        flat = torch.cat([weight.grad.reshape(-1) for weight in message if weight.grad is not None])
        dist.all_reduce(flat)
        flat /= processes
        parts = flat.split([weight.numel() for weight in message])
        for weight, part in zip(message, parts, strict=True):
            weight.grad = part.view_as(weight)
    told = torch.tensor(figures, dtype=torch.float64, device=weights[0].device)
    dist.all_reduce(told)
    averaged: list[float] = (told / processes).tolist()
    return averaged


def _messages(weights: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """The weights in groups of about `MESSAGE` numbers; one that got no gradient gets a gradient of zero."""
    message: list[nn.Parameter] = []
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        message.append(weight)
        if sum(w.numel() for w in message) >= MESSAGE:
            yield message
            message = []
    if message:
        yield message
