"""A checkpoint loads in a process of its own, and what is none is refused in one sentence."""

import subprocess
import sys

import pytest

from models import loading
from models.model import CheckpointError
from tests.support import checkpoint

LOAD = """
import sys
from models.loading import load_pipeline
print(sum(part is not None for part in load_pipeline(sys.argv[1]).components.values()))
"""


def load_alone(name: str) -> str:
    """Load it where nothing else has been imported: diffusers looks for classes only in modules that are there."""
    done = subprocess.run([sys.executable, "-c", LOAD, name], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


def test_a_checkpoint_folder_loads_in_a_fresh_process(tmp_path):
    checkpoint.make(tmp_path / "random")
    assert load_alone(str(tmp_path / "random")) == "11"


def test_the_bundled_checkpoint_loads_in_a_fresh_process_and_is_small():
    assert load_alone("tiny-shapes") == "11"
    weights = sum(file.stat().st_size for file in (loading.BUNDLED / "tiny-shapes").rglob("*"))
    assert weights < 80e6


def test_bundled_weights_are_safetensors_and_nothing_that_runs():
    kinds = {file.suffix for file in (loading.BUNDLED / "tiny-shapes").rglob("*") if file.is_file()}
    assert kinds <= {".safetensors", ".json", ".md"}


@pytest.mark.parametrize(("name", "words"), [("no-such-model", "neither bundled"), (".", "no model_index.json")])
def test_what_is_no_checkpoint_is_refused_in_one_sentence(name, words):
    with pytest.raises(CheckpointError, match=words):
        loading.load_pipeline(name)


def test_a_part_of_another_layout_is_refused(tmp_path):
    checkpoint.make(tmp_path / "random")
    (tmp_path / "random" / "cam" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="not a checkpoint that Longtake can load"):
        loading.load_pipeline(tmp_path / "random")
