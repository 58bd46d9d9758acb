"""Where the time goes from a worker's start to its first denoising step: `python -m bench.start`.

Processor seconds of one process, and the share of each part. The bundled model, on the CPU.
"""

from __future__ import annotations

import time

_began = time.process_time()
_rows: list[tuple[str, float]] = []


def _done(what: str) -> None:
    _rows.append((what, time.process_time() - _began))


def main() -> None:
    import torch

    _done("torch is imported")
    import workers.workshop  # noqa: F401 - as the worker's child does

    _done("all else is imported")
    from models import catalog
    from models.loading import load_pipeline
    from models.recipe import Recipe
    from models.request import VideoRequest

    torch.set_num_threads(1)
    pipeline = load_pipeline(catalog.DEFAULT_MODEL, device="cpu")
    _done("weights are loaded")
    request = VideoRequest("a red circle moving right on a black background", 16, 0, 1, 2.0, 2.0)
    next(Recipe(pipeline, catalog.find(catalog.DEFAULT_MODEL), request).generate())
    _done("a first chunk in one step")
    last, whole = 0.0, _rows[-1][1]
    for what, at in _rows:
        print(f"{what:28} {at - last:6.2f} s  {100 * (at - last) / whole:5.1f} %")
        last = at


if __name__ == "__main__":
    main()
