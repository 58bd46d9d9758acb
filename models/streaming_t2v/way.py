"""How the network is asked at each step of a chunk, for the branches of guidance that the step needs.

Owns what is constant over the steps, and what is kept from one step to the next where not all is computed anew
(`models.turbo`); and how chunks of several videos, each at a step of its own, ask together (`models.company`). Knows
nothing of schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor

from models.company import Seat
from models.streaming_t2v.cam import Memory
from models.streaming_t2v.context import Context
from models.streaming_t2v.sampler import Denoise, branches, guide
from models.streaming_t2v.unet import Deep
from models.turbo import Turbo


@dataclass(frozen=True, slots=True)
class Look:
    """CAM over the steps of one chunk. embedded: the conditioning frames' features, [S*F_cond, C, h, w]."""

    cam: Any
    context: Context
    embedded: Tensor
    pooled: Tensor | None

    def __call__(self, latents: Tensor, t: Tensor, shallow: bool = False) -> Memory:
        """shallow: of the first level only."""
        memory: Memory = self.cam(latents, t, self.context, self.embedded, self.pooled, shallow)
        return memory

    @staticmethod
    def of_all(looks: Sequence[Look]) -> Look:
        context = Context.of_all([look.context for look in looks])
        pooled = _joined([look.pooled for look in looks])
        return Look(looks[0].cam, context, torch.cat([look.embedded for look in looks]), pooled)


class Way:
    """branches: how many, of the same latents. context: what the network reads of prompt and anchor. look: CAM, or
    None without it. planes: more inputs of the network. keeps_deep: whether what the deeper levels make is kept for the
    steps after.
    """

    def __init__(
        self,
        unet: Any,
        branches: int,
        context: Context | Tensor,
        pooled: Tensor | None,
        look: Look | None = None,
        planes: dict[str, Tensor | None] | None = None,
        *,
        keeps_deep: bool = False,
    ):
        self._unet, self._branches, self._context, self._look = unet, branches, context, look
        self._more = {"timestep_cond": pooled, **(planes or {})}
        self._memory: Memory | None = None
        self._deep = Deep() if keeps_deep else None

    def ask(self, latents: Tensor, t: Tensor, look_again: bool, go_deep: bool) -> tuple[Tensor, ...]:
        """The prediction of each branch, [1, C, F, h, w] in float32, of latents [1, C, F, h, w] (more if joined)."""
        more: dict[str, Any] = dict(self._more)
        given = latents.to(self._unet.dtype)
        batch = given if isinstance(self._context, Context) else given.expand(self._branches, -1, -1, -1, -1)
        is_shallow = False
        if self._deep is not None:
            if go_deep:
                self._deep.features = None
            is_shallow, more["deep"] = self._deep.features is not None, self._deep
        if self._look is not None:
            if look_again or not self._remembers(is_shallow):
                self._memory = self._look(batch, t, is_shallow)
            more["memory"] = self._memory
        predictions: tuple[Tensor, ...] = self._unet(batch, t, self._context, **more).sample.float().split(1)
        return predictions

    def _remembers(self, is_shallow: bool) -> bool:
        """Whether what is kept of CAM is enough for this step."""
        return self._memory is not None and (is_shallow or self._memory.middle is not None)

    def kind(self, latents: Tensor) -> tuple[object, ...] | None:
        """What others must have in common with it to be asked together; None where each step needs the one before."""
        if self._deep is not None or not isinstance(self._context, Context):
            return None
        planes = tuple((name, given is None) for name, given in self._more.items())
        return id(self._unet), self._look is None, self._branches, planes, tuple(latents.shape), latents.device

    @staticmethod
    def of_all(ways: Sequence[Way]) -> Way:
        """Several of one kind as one, for their latents one after the other."""
        one, *_ = ways
        looks = [way._look for way in ways if way._look is not None]
        made = Way(one._unet, one._branches, Context.of_all([way._context for way in ways]), None)  # type: ignore[misc]
        made._look = Look.of_all(looks) if looks else None
        made._more = {name: _joined([way._more[name] for way in ways]) for name in one._more}
        return made


@dataclass(frozen=True, slots=True)
class Asked:
    """A way, and what it is asked at one step."""

    way: Way
    latents: Tensor
    t: Tensor


def ask_together(asked: Sequence[Asked]) -> list[tuple[Tensor, ...]]:
    """Several of one kind: the predictions of each."""
    if len(asked) == 1:
        (alone,) = asked
        return [alone.way.ask(alone.latents, alone.t, look_again=True, go_deep=True)]
    joined = Way.of_all([one.way for one in asked])
    latents, times = torch.cat([one.latents for one in asked]), torch.stack([one.t for one in asked])
    made = joined.ask(latents, times, look_again=True, go_deep=True)
    each = len(made) // len(asked)
    return [made[i : i + each] for i in range(0, len(made), each)]


def _joined(tensors: Sequence[Tensor | None]) -> Tensor | None:
    given = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(given) if given else None


def guided(
    way: Callable[[tuple[str, ...]], Way],
    text_scale: float,
    anchor_scale: float,
    turbo: Turbo,
    steps: int,
    seat: Seat,
) -> Denoise:
    """The network under guidance, over the steps of one chunk in their order. way: for the names of branches. seat:
    among the chunks that are made at the same time.
    """
    scales = {True: (text_scale, anchor_scale), False: (1.0, 1.0)}
    ways = {
        is_guided: way(branches(*scales[is_guided])) for is_guided in {turbo.is_guided(i, steps) for i in range(steps)}
    }
    taken = count()

    def denoise(latents: Tensor, t: Tensor) -> Tensor:
        step = next(taken)
        is_guided = turbo.is_guided(step, steps)
        taken_way = ways[is_guided]
        look_again, go_deep = (turbo.looks_again(step, steps, n) for n in (turbo.memory_every, turbo.deep_every))
        kind = taken_way.kind(latents) if turbo.memory_every == 1 else None
        if kind is None:
            predictions = taken_way.ask(latents, t, look_again, go_deep)
        else:
            predictions = seat.ask(kind, Asked(taken_way, latents, t), ask_together)
        return guide(predictions, *scales[is_guided])

    return denoise
