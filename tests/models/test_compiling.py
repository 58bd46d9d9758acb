"""Compiled block by block: few graphs, the same video, and nothing left to compile when a video comes."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from models import catalog
from models.compiling import compile_blocks, warm_up
from models.loading import load_pipeline
from models.memory.stages import Work
from models.recipe import Recipe
from models.request import RefineOptions, VideoRequest
from tests.support import checkpoint
from workers.settings import WorkerSettings
from workers.workshop import load

MODEL = catalog.find("tiny-shapes")
REQUEST = VideoRequest(
    "a red circle moving right on a black background", 24, 7, 2, 2.0, 2.0, refine=RefineOptions(2, 0.5)
)


@pytest.fixture
def folder(tmp_path):
    checkpoint.make(tmp_path / "random-shapes")
    yield tmp_path / "random-shapes"
    torch._dynamo.reset()


def frames(pipeline):
    return np.concatenate([made.frames.reshape(-1) for _, made in Recipe(pipeline, MODEL, REQUEST).generate()])


def test_blocks_of_one_shape_share_a_graph_and_a_video_finds_all_compiled(folder):
    pipeline, graphs = load_pipeline(folder, device="cpu"), CompileCounter()
    plain = frames(pipeline)
    blocks = compile_blocks(pipeline, backend=graphs)
    warm_up(pipeline, [Work(MODEL.size, MODEL.refined_size)])
    compiled = graphs.frame_count
    assert 0 < compiled < blocks / 2
    made = frames(pipeline)
    assert graphs.frame_count == compiled
    assert np.abs(made.astype(int) - plain).max() <= 1  # linear layers are torch's own there


def test_a_cpu_is_not_compiled_for(folder, caplog):
    settings = WorkerSettings(checkpoints={"tiny-shapes": str(folder)}, device="cpu", compile=True)
    with caplog.at_level(logging.WARNING):
        load(MODEL, settings)
    assert "not compiled" in caplog.text
