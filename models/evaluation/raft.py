"""RAFT, the flow of the published metric, where torchvision and its weights are present.

Neither comes with Longtake: torchvision's wheels must match torch's, and the weights are a download of their own. Owns
how frames reach the network; the network is torchvision's.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from models.evaluation.flow import RAFT, FlowMethod
from models.model import CheckpointError


def raft(weights: Path) -> FlowMethod:
    """RAFT-large (2003.12039) with torchvision's weights, a `raft_large_*.pth`; on a GPU where there is one.

    Frames are taken at the size they come in, whose sides must be multiples of 8 and at least 128 (the metric's 720
    is). Raises `CheckpointError` where torchvision is missing or the file is something else.
    """
    try:
        from torchvision.models.optical_flow import raft_large
    except (ImportError, RuntimeError) as error:  # RuntimeError: wheels that do not match torch's
        raise CheckpointError(f"RAFT needs torchvision, in the build that matches torch's: {error}") from error
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network: Any = raft_large()
        network.load_state_dict(state)
    except (OSError, UnpicklingError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{weights} holds no weights of torchvision's raft_large: {error}") from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def estimate(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(np.stack([left, right])).to(device).movedim(-1, 1) / 127.5 - 1
        refined: list[torch.Tensor] = network(pixels[:1], pixels[1:])
        return refined[-1][0].movedim(0, -1).float().cpu().numpy()

    return FlowMethod(RAFT, estimate)
