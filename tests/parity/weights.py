"""Where the parity data is, and its weights: not stored, but following from each key, a seed and a shape."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch


def synthetic_state_dict(keys_json_path: Path | str, seed: int) -> dict[str, torch.Tensor]:
    """The state dict that a `*.keys.json` (key -> shape) stands for, float32."""
    shapes: dict[str, list[int]] = json.loads(Path(keys_json_path).read_text())
    return {key: synthetic_weight(key, shape, seed) for key, shape in shapes.items()}


def synthetic_weight(key: str, shape: Sequence[int], seed: int) -> torch.Tensor:
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    x = torch.from_numpy(np.asarray(rng.standard_normal(tuple(shape), dtype=np.float32)))
    if len(shape) >= 2:
        return x / math.sqrt(math.prod(shape[1:]))
    if key.endswith("alpha"):
        return 0.5 + 0.1 * x
    return 1 + 0.1 * x if key.endswith(".weight") else 0.1 * x


def parity_file(name: str) -> Path:
    """That parity file, from LONGTAKE_PARITY_DIR or ../shared/parity; skips the test where it is absent."""
    folder = Path(os.environ.get("LONGTAKE_PARITY_DIR", Path(__file__).parents[3] / "shared" / "parity"))
    if not (folder / name).exists():
        pytest.skip(f"no parity data: {folder / name} does not exist (set LONGTAKE_PARITY_DIR)")
    return folder / name
