"""RAFT: what is missing is said; where torchvision runs, the network is asked as it wants to be."""

import numpy as np
import pytest
import torch

from models.evaluation.raft import raft
from models.model import CheckpointError


def torchvision_runs() -> bool:
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


with_torchvision = pytest.mark.skipif(not torchvision_runs(), reason="torchvision, which brings RAFT, is not here")


@pytest.mark.skipif(torchvision_runs(), reason="torchvision is here")
def test_without_torchvision_it_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="RAFT needs torchvision"):
        raft(tmp_path / "raft_large.pth")


@with_torchvision
def test_a_file_of_something_else_is_refused_by_name(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other.pth holds no weights of torchvision's raft_large"):
        raft(tmp_path / "other.pth")


@with_torchvision
def test_frames_reach_the_network_as_it_was_trained_on_them(tmp_path):
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    network = raft_large().eval()
    torch.save(network.state_dict(), tmp_path / "raft_large.pth")
    left, right = np.random.default_rng(0).integers(0, 256, (2, 128, 136, 3), dtype=np.uint8)
    as_trained = [(torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5 for x in (left, right)]
    with torch.no_grad():
        want = network(*as_trained)[-1][0].permute(1, 2, 0).numpy()
    assert np.allclose(raft(tmp_path / "raft_large.pth").estimate(left, right), want, atol=1e-3)
