"""Where a stage's weights lie and in which precision: what learns in float32, what only looks on in half on a GPU.

Frozen weights are most of a published network; in half precision they take 2 bytes each and need no gradient, no
moments and no average. On a CPU everything stays in float32, and is multiplied in bfloat16 only where the CPU has
instructions for that: one without them imitates it, ten times slower.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from longtake.training.objective import attention

HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def precision_on(device: torch.device, asked: str) -> str:
    """The recipe's precision, or `no` (float32 throughout) on a CPU that only imitates it."""
    is_imitated = asked == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "no" if device.type == "cpu" and is_imitated else asked


def half_of(device: torch.device, precision: str) -> torch.dtype | None:
    """What frozen weights are kept in, where it is not float32."""
    return HALVES.get(precision) if device.type != "cpu" else None


def place(stage: Any, device: torch.device, half: torch.dtype | None) -> dict[str, Tensor]:
    """Put a stage onto its device. Returns the frozen weights of its learner as they were, where they were halved."""
    for part in stage.frozen:
        part.to(device, half)
    whole: dict[str, Tensor] = {}
    for name, weight in stage.learner.named_parameters():
        if half is not None and not weight.requires_grad:
            whole[name] = weight.data
            weight.data = weight.data.to(device, half)
    stage.learner.to(device)
    return whole


def take_back(stage: Any, whole: dict[str, Tensor]) -> None:
    """The learner in float32 on the CPU, to be written."""
    stage.learner.to("cpu")
    for name, weight in stage.learner.named_parameters():
        weight.data = whole.get(name, weight.data)


def recompute(network: Any) -> None:
    """Gradient checkpointing: a block keeps its input alone, and is computed again when its gradient is asked for."""

    def contexts() -> tuple[Any, Any]:
        return attention(network.device), attention(network.device)  # both times by the same kernel

    blocks = [*network.down_blocks, network.mid_block, *getattr(network, "up_blocks", ())]
    for block in (*blocks, *getattr(network, "cam_injectors", ())):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)
