"""How the network is asked at each step of a chunk, for the branches of guidance that the step needs.

Owns what is constant over the steps, and what is kept from one step to the next where not all is computed anew
(`models.turbo`). Knows nothing of schedules.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from torch import Tensor

from models.streaming_t2v.cam import Memory
from models.streaming_t2v.context import Context
from models.streaming_t2v.sampler import Denoise, branches, guide
from models.streaming_t2v.unet import Deep
from models.turbo import Turbo

Look = Callable[[Tensor, Tensor, bool], Memory]  # latents, t, of the first level only -> CAM's features


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
        """The prediction of each branch, [1, C, F, h, w] in float32, of latents [1, C, F, h, w]."""
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


def guided(
    way: Callable[[tuple[str, ...]], Way], text_scale: float, anchor_scale: float, turbo: Turbo, steps: int
) -> Denoise:
    """The network under guidance, over the steps of one chunk in their order. way: for the names of branches."""
    scales = {True: (text_scale, anchor_scale), False: (1.0, 1.0)}
    ways = {
        is_guided: way(branches(*scales[is_guided])) for is_guided in {turbo.is_guided(i, steps) for i in range(steps)}
    }
    taken = count()

    def denoise(latents: Tensor, t: Tensor) -> Tensor:
        step = next(taken)
        is_guided = turbo.is_guided(step, steps)
        again = (turbo.looks_again(step, steps, every) for every in (turbo.memory_every, turbo.deep_every))
        return guide(ways[is_guided].ask(latents, t, *again), *scales[is_guided])

    return denoise
