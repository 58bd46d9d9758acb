"""Released files are read tensor by tensor, and what is none of them is refused in one sentence."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from models.released.weights import find_weights, open_weights
from models.streaming_t2v.convert import ConversionError

TENSORS = {
    "matrix": torch.arange(12.0).view(3, 4),
    "transposed": torch.arange(12.0).view(3, 4).T,
    "half": torch.arange(5.0).half(),
    "number": torch.tensor(3.5),
    "none": torch.empty(0, 4),
    "counted": torch.arange(7),
}


def assert_same(weights):
    assert weights.like.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert weights.like[key].is_meta
        assert torch.equal(weights.read(key), tensor) and weights.read(key).dtype == tensor.dtype


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_what_torch_saved_is_read_as_it_was(tmp_path, zipped, nested):
    saved = {"epoch": 1, "state_dict": TENSORS} if nested else TENSORS
    torch.save(saved, tmp_path / "file.ckpt", _use_new_zipfile_serialization=zipped)
    assert_same(open_weights(tmp_path / "file.ckpt"))


def test_safetensors_are_read_as_they_were(tmp_path):
    save_file({key: tensor.contiguous() for key, tensor in TENSORS.items()}, tmp_path / "file.safetensors")
    assert_same(open_weights(tmp_path / "file.safetensors"))


def test_full_precision_is_preferred_to_half(tmp_path):
    save_file({"x": torch.ones(1).half()}, tmp_path / "model.fp16.safetensors")
    assert find_weights(tmp_path).like["x"].dtype == torch.float16
    torch.save({"x": torch.ones(1)}, tmp_path / "model.bin")
    assert find_weights(tmp_path).like["x"].dtype == torch.float16  # safetensors before pickle
    save_file({"x": torch.ones(1)}, tmp_path / "model.safetensors")
    assert find_weights(tmp_path).like["x"].dtype == torch.float32


@pytest.mark.parametrize("name", ["file.ckpt", "file.safetensors"])
@pytest.mark.parametrize("part", [0.999, 0.5, 0.01])
def test_a_truncated_file_is_refused(tmp_path, name, part):
    path = tmp_path / name
    if name.endswith("ckpt"):
        torch.save({"x": torch.ones(5000)}, path)
    else:
        save_file({"x": torch.ones(5000)}, path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ConversionError, match=r"cut short"):
        open_weights(path)


class Foreign:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"state_dict": {"x": torch.ones(2)}, "hook": Foreign()}, tmp_path / "file.ckpt")
    with pytest.raises(ConversionError, match="holds more than tensors, so it is not read"):
        open_weights(tmp_path / "file.ckpt")
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a letter", "neither PyTorch's nor safetensors"),
        (pickle.dumps({"a": 1}), "is no"),
        (b"", "neither PyTorch's nor safetensors"),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_of_something_else_is_refused(tmp_path, content, words):
    (tmp_path / "file.ckpt").write_bytes(content)
    with pytest.raises(ConversionError, match=words):
        open_weights(tmp_path / "file.ckpt")


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 1}, tmp_path / "file.ckpt")
    with pytest.raises(ConversionError, match="holds no tensors by name"):
        open_weights(tmp_path / "file.ckpt")
