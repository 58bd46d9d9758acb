"""How the network is asked at each step of a chunk for some branches of guidance.

Owns what is constant over the steps, and what is kept from one step to the next where not all is computed anew
(`models.streaming_t2v.turbo`). Knows nothing of schedules or guidance scales.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from models.streaming_t2v.cam import Memory
from models.streaming_t2v.context import Context
from models.streaming_t2v.unet import Deep

Look = Callable[[Tensor, Tensor, bool], Memory]  # latents of all branches, t, of the first level only -> CAM's features


class Way:
    """branches: how many. look: CAM, or None without it. planes: more inputs of the network. keeps_deep: whether what
    the deeper levels make is kept for the steps after.
    """

    def __init__(
        self,
        unet: Any,
        branches: int,
        context: Context,
        pooled: Tensor | None,
        look: Look | None,
        planes: dict[str, Tensor | None],
        *,
        keeps_deep: bool,
    ):
        self._unet, self._branches, self._context, self._pooled = unet, branches, context, pooled
        self._look, self._planes = look, planes
        self._memory: Memory | None = None
        self._deep = Deep() if keeps_deep else None

    def ask(self, latents: Tensor, t: Tensor, look_again: bool, go_deep: bool) -> tuple[Tensor, ...]:
        """The prediction of each branch, [1, C, F, h, w] in float32, of latents [1, C, F, h, w]."""
        if self._deep is not None and go_deep:
            self._deep.features = None
        is_shallow = self._deep is not None and self._deep.features is not None
        batch = latents.to(self._unet.dtype).expand(self._branches, -1, -1, -1, -1)
        if self._look is not None and (look_again or not self._remembers(is_shallow)):
            self._memory = self._look(batch, t, is_shallow)
        made = self._unet(batch, t, self._context, self._pooled, self._memory, deep=self._deep, **self._planes)
        predictions: tuple[Tensor, ...] = made.sample.float().split(1)
        return predictions

    def _remembers(self, is_shallow: bool) -> bool:
        """Whether what is kept of CAM is enough for this step."""
        return self._memory is not None and (is_shallow or self._memory.middle is not None)
