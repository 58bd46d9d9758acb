"""A small random Stable Diffusion, saved as diffusers saves it and loaded as any other."""

from __future__ import annotations

from typing import Any

import pytest

from models.text2video_zero import parts
from tests.support import sources


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("zero") / "sd15"
    return parts.load(str(sources.stable_diffusion(folder, with_adapter=False)))


@pytest.fixture(scope="session")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return parts.load(str(sources.controlled(tmp_path_factory.mktemp("control") / "canny")), controlled=True)
