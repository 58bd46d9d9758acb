"""Unsafe deserialisation: what would run when it is read is not read, whether it comes as a message or as weights."""

from __future__ import annotations

import ast
import base64
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from kombu.utils.uuid import uuid

from models import loading
from models.first_chunk.loading import load_source
from models.model import CheckpointError
from service import queue
from tests.security.conftest import GuardedHouse
from tests.support import checkpoint
from tests.support.house import until
from tests.support.processes import ROOT

KINDS = ["application/x-python-serialize", "application/x-yaml", "application/x-msgpack", "application/json"]


class Marking:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({str(self.mark)!r}, 'w').close()",))


def message(task: str, body: bytes, kind: str) -> str:
    """As kombu's Redis transport keeps one."""
    properties = {
        "delivery_tag": uuid(),
        "delivery_info": {"exchange": "", "routing_key": ""},
        "body_encoding": "base64",
    }
    headers = {"task": task, "id": uuid(), "lang": "py", "argsrepr": "()", "kwargsrepr": "{}"}
    return json.dumps({
        "body": base64.b64encode(body).decode(), "content-encoding": "binary", "content-type": kind,
        "headers": headers, "properties": properties,
    })  # fmt: skip


def test_a_mark_is_made_by_whoever_reads_it(tmp_path: Path) -> None:
    """And so one that is not there was not read."""
    pickle.loads(pickle.dumps(Marking(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


@pytest.mark.processes
def test_a_pickle_on_the_queue_of_a_real_worker_is_refused_and_the_worker_goes_on(
    house: GuardedHouse, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    body = pickle.dumps(((Marking(mark),), {}, {}))
    with house.valkey.witness() as redis:
        for task, name in queue.QUEUE_OF.items():
            for kind in KINDS:
                redis.lpush(f"longtake:celery:{name}", message(task, body, kind))
        names = {f"longtake:celery:{name}" for name in queue.QUEUE_OF.values()}
        until(lambda: not any(redis.llen(name) for name in names), "whoever takes the messages", 30)
    assert house.ended(house.submit(num_frames=16, refine=False))["status"] == "completed"
    assert not mark.exists()
    logs = {process.name: process.log.read_text() for process in house.processes}
    for name in ("deliver", "render"):
        assert "Refusing to deserialize untrusted content of type pickle" in logs[name], name
    assert all(process.is_running for process in house.processes)


# Weights

PLACES = [
    "pipeline.py", "unet/modeling.py", "cam/__init__.py", "cam/diffusion_pytorch_model.bin", "unet.ckpt", "model.pt",
    "model.pth", "deep/down/state.pkl", "x.pickle", "program.pt2", "native.so", "UPPER.PY", "unet/x.pyc",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that can be loaded."""
    folder = tmp_path_factory.mktemp("weights") / checkpoint.NAME
    checkpoint.make(folder)
    return folder


@pytest.mark.parametrize("place", PLACES)
def test_a_folder_with_code_or_pickles_in_it_is_refused_by_name(folder: Path, place: str) -> None:
    mark, file = folder.parent / "mark", folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    code = f"open({str(mark)!r}, 'w').close()\n".encode()
    file.write_bytes(code if file.suffix.lower() == ".py" else pickle.dumps(Marking(mark)))
    try:
        for load in (loading.load_pipeline, lambda path: load_source("text2video-zero", path)):
            with pytest.raises(CheckpointError, match=file.name):
                load(folder)
    finally:
        file.unlink()
    assert not mark.exists()


@pytest.mark.parametrize(
    "value",
    [["evil", "Evil"], ["../evil", "Evil"], ["subprocess", "Popen"], ["os", "system"], ["builtins", "exec"]],
    ids=".".join,
)
def test_a_list_of_parts_that_names_code_from_elsewhere_is_refused(
    folder: Path, value: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a module of that name could be imported: it lies on the path."""
    mark, elsewhere, index = folder.parent / "mark", folder.parent / "elsewhere", folder / "model_index.json"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    before = index.read_text()
    index.write_text(json.dumps(json.loads(before) | {"cam": value}))
    try:
        with pytest.raises(CheckpointError, match="not a checkpoint that Longtake can load"):
            loading.load_pipeline(folder)
    finally:
        index.write_text(before)
    assert not mark.exists() and "evil" not in sys.modules


def test_weights_are_not_read_from_beside_the_folder(folder: Path) -> None:
    """An index of shards could name any file of the machine."""
    weights = folder / "cam" / "diffusion_pytorch_model.safetensors"
    kept = weights.rename(folder.parent / "elsewhere.safetensors")
    index = weights.with_name(weights.name + ".index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"x": "../../elsewhere.safetensors"}}))
    try:
        with pytest.raises(CheckpointError):
            loading.load_pipeline(folder)
    finally:
        index.unlink()
        kept.rename(weights)


def test_a_pickle_is_nowhere_read_but_for_its_tensors() -> None:
    """Released files come as pickles: they are read with `weights_only`, and by nothing else."""
    forbidden = {"trust_remote_code", "custom_pipeline", "allow_pickle", "shell"}
    read = 0
    for path in [file for part in ("models", "service", "workers", "longtake") for file in (ROOT / part).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            words = {word.arg: word.value for word in node.keywords}
            called = ast.unparse(node.func)
            assert not forbidden & words.keys(), (path, called)
            assert called not in ("pickle.load", "pickle.loads", "eval", "exec", "yaml.load", "os.system"), path
            if called == "torch.load":
                read += 1
                assert ast.unparse(words["weights_only"]) == "True", path
    assert read >= 3 and torch.__version__ >= "2.6"
