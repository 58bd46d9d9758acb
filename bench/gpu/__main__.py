"""What this GPU does: `python -m bench.gpu [--published CHECKOUT] [--json FILE]`. Memory, seconds, and the limit.

The published networks with random numbers, a video of 24 frames by every preset of memory: the first chunk, one
streaming chunk, one refinement window. A few denoising steps are timed and their median is multiplied up to the
published number; beside it what the step is in floating-point operations and bytes, at the rates that the same GPU was
measured to have, and the seconds with turbo, every step made. With a checkout of the published code
(`bench.published`), its step of the same width and size is timed in turns with ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import diffusers
import torch
from rich.console import Console

from bench.gpu.workbench import LOOKS, STEPS, Published, Row, Tiny, total_bytes
from bench.published import streaming
from bench.published.checkout import Checkout
from models.memory import presets
from models.memory.budget import GIB

WIDTH, SIDE, ROUNDS = 320, 32, 10  # of the published network's first level and of its latents


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    if not options.cpu and not torch.cuda.is_available():
        sys.exit("bench.gpu needs a GPU, and torch sees none here; --cpu runs the same at a tiny size, without one.")
    if importlib.util.find_spec("accelerate") is None:
        sys.exit("bench.gpu needs accelerate, with which diffusers fetches layers.")
    device = torch.device("cpu" if options.cpu else "cuda")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workbench = Tiny(Path(folder)) if options.cpu else Published(device)
        rows = [row for name in options.presets for row in workbench.rows(presets.find(name))]
    card = "CPU" if options.cpu else f"{torch.cuda.get_device_name()}, {total_bytes(device) / GIB:.1f} GiB"
    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    rates = workbench.rates
    print(f"{card}; {workbench.numbers}; torch {versions['torch']}; {time.monotonic() - began:.0f} s in all")
    print(f"a large product: {rates.flops / 1e12:.1f} TFLOP/s; a large copy: {rates.bytes / 1e9:.0f} GB/s")
    print(f"seconds: {STEPS} steps and {LOOKS} looks timed, multiplied up to those in the column 'steps'")
    print(table(rows))
    report = {
        "device": card, "numbers": str(workbench.numbers), **versions, "rates": asdict(rates),
        "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    if options.published is not None:
        beside = streaming.measured(
            Checkout(options.published), WIDTH, SIDE, ROUNDS, device, workbench.numbers.of("unet")
        )
        Console(width=130).print(streaming.table([beside]))
        report["published"] = asdict(beside) | beside.ratios
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    else:
        print(json.dumps(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="the same path at a tiny size, without a GPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, instead of being printed")
    parser.add_argument("--published", type=Path, metavar="CHECKOUT", help="the published code, to be timed beside")
    names = [*reversed(presets.PRESETS)]
    parser.add_argument("--presets", nargs="+", choices=names, default=names, help="all by default")
    return parser


def table(rows: list[Row]) -> str:
    head = (
        f"{'preset':8}{'stage':12}{'size':10}{'peak GiB':>10}{'arithmetic':>12}{'step s':>9}{'TFLOP':>9}{'floor s':>9}"
        f"{'of rate':>9}{'steps':>7}{'whole s':>9}{'turbo s':>9}"
    )
    lines = [head]
    for row in rows:
        peak = f"{row.peak_gib:.2f}" if row.peak_gib is not None else "-"
        turbo = f"{row.turbo_s:.2f}" if row.turbo_s is not None else "-"
        step = f"{row.step_s:>9.3f}{row.tflop:>9.3f}{row.floor_s:>9.3f}{row.matrix_share:>9.1%}"
        lines.append(
            f"{row.preset:8}{row.stage:12}{row.size:10}{peak:>10}{row.arithmetic_gib:>12.2f}{step}"
            f"{row.steps:>7}{row.seconds:>9.2f}{turbo:>9}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
