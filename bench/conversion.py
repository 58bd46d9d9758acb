"""How much memory and time the conversion of the published checkpoint takes: `python -m bench.conversion [FOLDER]`.

The checkpoint and its base are made with the published sizes and holes for numbers, so they take no room; what is
written does (10 GB in half precision), and is removed again.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import sparse
from tests.support.released import PUBLISHED

OPTIMIZER_BYTES = 14_600_000_000  # Adam's moments, and the text encoder's and the VAE's copies: 25.6 GB in all


def main(parent: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        root = Path(name)
        sparse.checkpoint(root / "streaming_t2v.ckpt", PUBLISHED, optimizer_bytes=OPTIMIZER_BYTES)
        sparse.base(root / "ms-1.7b", PUBLISHED)
        print(f"checkpoint {(root / 'streaming_t2v.ckpt').stat().st_size / 1e9:.1f} GB")
        files = [str(root / "streaming_t2v.ckpt"), "--base", str(root / "ms-1.7b"), "-o", str(root / "out")]
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "longtake", "convert", *files, "--dtype", "fp16"], check=True)
        written = sum(file.stat().st_size for file in (root / "out").rglob("*.safetensors"))
        peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(f"written {written / 1e9:.1f} GB in {time.monotonic() - began:.0f} s, peak {peak_kib / 2**20:.2f} GiB")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
