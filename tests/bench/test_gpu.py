"""The acceptance script for GPUs runs: here at a tiny size, every line of it but the measuring of CUDA's memory."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.gpu.__main__ import main
from bench.roofline import Rates, Work
from models.memory.presets import PRESETS


@pytest.mark.long
def test_every_stage_is_timed_under_every_preset(tmp_path, capsys):
    torch.set_num_threads(1)  # of so little work more threads make more, above all on a busy machine
    main(["--cpu", "--json", str(tmp_path / "figures.json")])
    report = json.loads((tmp_path / "figures.json").read_text())
    stages = [(row["preset"], row["stage"]) for row in report["rows"]]
    assert stages == [(name, stage) for name in reversed(PRESETS) for stage in ("initialize", "stream", "refine")]
    assert report["device"] == "CPU" and report["numbers"] == "float32"
    for row in report["rows"]:
        assert 0 < row["step_s"] < row["seconds"] and row["peak_gib"] is None and row["arithmetic_gib"] > 0
        assert row["tflop"] > 0 and row["floor_s"] > 0 and row["matrix_share"] > 0
    needs = {(row["preset"], row["stage"]): row["arithmetic_gib"] for row in report["rows"]}
    assert needs["small", "refine"] < needs["large", "refine"]
    fast = {row["preset"]: row["turbo_s"] for row in report["rows"] if row["stage"] == "stream"}
    assert fast["large"] > 0 and fast["small"] is None  # what is fetched layer by layer waits for that
    assert "refine      64x64" in capsys.readouterr().out


def test_the_limit_counts_products_and_what_operators_move():
    with torch.device("meta"):
        layer, x, q, k = nn.Linear(64, 128), torch.empty(32, 64), torch.empty(1, 2, 16, 8), torch.empty(1, 2, 24, 8)
    product = Work(2 * 32 * 64 * 128, layer.weight.nbytes + layer.bias.nbytes + 4 * 32 * (64 + 128))
    assert Work.of(lambda: layer(x)) == product
    attention = Work(4 * 2 * 16 * 24 * 8, 2 * (q.nbytes + k.nbytes))
    assert Work.of(lambda: F.scaled_dot_product_attention(q, k, k)) == attention
    assert Work.of(lambda: x.view(64, 32).t()) == Work(0, 0)
    work = Work(flops=100, bytes=30)
    assert work.floor_s(Rates(flops=50, bytes=10)) == 3 and work.floor_s(Rates(flops=10, bytes=10)) == 10


def test_rates_are_measured_here():
    rates = Rates.of(torch.device("cpu"), torch.float32)
    assert rates.flops > 1e8 and rates.bytes > 1e7


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so_in_a_sentence():
    with pytest.raises(SystemExit, match="needs a GPU, and torch sees none here; --cpu runs the same"):
        main([])
