"""A small random checkpoint of the real classes, loaded as any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from models.loading import load_pipeline
from models.streaming_t2v.pipeline import StreamingPipeline
from tests.support import checkpoint


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """On small tensors threads only get in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> StreamingPipeline:
    folder = tmp_path_factory.mktemp("checkpoint") / "random-shapes"
    checkpoint.make(folder)
    return load_pipeline(folder)
