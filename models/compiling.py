"""The repeated blocks of the video networks, compiled by torch: fewer kernels, and less memory moved between them.

Blocks and not whole networks: those of one shape share what was compiled, so that a start takes a part of the time.
Owns which blocks, and that a video finds everything compiled; knows nothing of what the blocks do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from torch import nn

from models.memory.stages import BRANCHES, Work, loads
from models.streaming_t2v.cam import Injector
from models.streaming_t2v.pipeline import StreamingPipeline

BLOCKS = (BasicTransformerBlock, ResnetBlock2D, TemporalConvLayer, Injector)
#: What is compiled, and the stage whose pass goes through it.
STAGES = {"first_chunk": "first chunk", "unet": "streaming step", "cam": "streaming step", "refiner": "refining step"}
MOST_GRAPHS = 256  # of one kind of block: its widths, times the sizes and numbers of samples that it is given


def compile_blocks(pipeline: StreamingPipeline, backend: str | Callable[..., Any] = "inductor") -> int:
    """Have every block compiled when it is first run with a shape; returns how many blocks there are."""
    limits: Any = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, MOST_GRAPHS)
    limits.accumulated_recompile_limit = max(limits.accumulated_recompile_limit, len(BLOCKS) * MOST_GRAPHS)
    networks = [part for name in STAGES if isinstance(part := getattr(pipeline, name, None), nn.Module)]
    blocks = [block for network in networks for block in network.modules() if isinstance(block, BLOCKS)]
    for block in blocks:
        block.compile(backend=backend, dynamic=False, fullgraph=True)
    return len(blocks)


@torch.no_grad()
def warm_up(pipeline: StreamingPipeline, works: Sequence[Work]) -> None:
    """One pass of each stage with each size, under guidance: the shapes that a video of the model's defaults has."""
    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    for work in works:
        for load in loads(parts, work, pipeline.memory, str(pipeline.device), branches=BRANCHES):
            if load.stage in STAGES.values():
                load.run()
