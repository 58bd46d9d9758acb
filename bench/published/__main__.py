"""Beside the published code: `python -m bench.published CHECKOUT [--only streaming refinement] [--json FILE]`.

CHECKOUT: see `bench.published.checkout`. A streaming chunk, and a look at a refinement window, each at some widths of
the networks' first level (320 published; 1, 2, 4, 4 times that in the levels). Both sides are timed in turns. By work:
how many times as fast, were seconds in proportion to floating-point operations.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console

from bench.published import refinement, streaming
from bench.published.checkout import Checkout

PARTS = {"streaming": streaming, "refinement": refinement}


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the published repository, on its branch StreamingModelscope")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts")
    parser.add_argument("--widths", nargs="+", type=int, default=[64, 128], help="of the first level")
    parser.add_argument("--side", type=int, default=16, help="of a chunk's latents; published: 32")
    parser.add_argument("--rows", type=int, default=18, help="of a window's latents; published: 90, also 18, 26, 34, …")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is timed")
    parser.add_argument("--json", type=Path, help="write the figures there")
    asked = parser.parse_args(words)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        checkout = Checkout(asked.checkout)
    except FileNotFoundError as error:
        sys.exit(str(error))
    sizes, found = {"streaming": asked.side, "refinement": asked.rows}, {}
    for name in asked.only:
        rows = [PARTS[name].measured(checkout, width, sizes[name], asked.rounds) for width in asked.widths]
        Console(width=130).print(PARTS[name].table(rows))
        found[name] = [asdict(row) | row.ratios for row in rows]
    if asked.json:
        report = {
            "command": shlex.join(["python", "-m", "bench.published", *words]),
            "date": time.strftime("%Y-%m-%d"),
            "threads": torch.get_num_threads(),
        }
        asked.json.write_text(json.dumps(report | found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
