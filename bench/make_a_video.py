"""How well the tiny Make-A-Video does its parts: `python -m bench.make_a_video text|between|twice [--count 8]`.

`text`: P and Dᵗ on prompts that were held out of training, read by the tracker of the shapes world. `between` and
`twice`: ↑F and SRₕ against what the world draws there, in dB (PSNR), beside a blend of pixels and bicubic enlargement.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from models import catalog, pixels
from models.evaluation.difference import Differences
from models.evaluation.following import held_out_captions, means, score_first_chunk
from models.evaluation.gauge import measure
from models.first_chunk.loading import load_source
from models.loading import load_pipeline
from models.make_a_video.between import Between
from models.make_a_video.upscaling import Upscaler
from models.recipe import Recipe
from models.request import default_request
from models.shapes import world
from models.shapes.language import Caption
from models.systems import MAKE_A_VIDEO

MODEL = catalog.find("tiny-make-a-video")
GIVEN, RUNS = 25, (0, 8, 16, 24)  # frames of a scene, and where runs of them meet


def text(count: int) -> dict[str, dict[str, float]]:
    """First chunks by the service's own recipe."""
    pipeline, sources = load_pipeline(MODEL.checkpoint, device="cpu"), {MAKE_A_VIDEO: source()}

    def score(number: int, caption: Caption) -> Any:
        request = default_request(MODEL, str(caption), num_frames=MODEL.chunk_frames, seed=number, refine=False)
        made = next(Recipe(pipeline, MODEL, request, sources).generate())[1].frames
        return score_first_chunk(caption, made)

    return {"first chunks": means([score(i, caption) for i, caption in enumerate(held_out_captions(count))])}


def between(count: int) -> dict[str, dict[str, float]]:
    """Frames between those of scenes that the autoencoder has decoded, in three runs."""
    parts, rows = source().pipeline, {}
    for side, factor in ((64, 2), (64, 4), (128, 2), (128, 4)):
        made, blended, seams = [], [], []
        for number, scene in enumerate(scenes(count)):
            drawn = shown(world.draw(scene, [k / factor for k in range((GIVEN - 1) * factor + 1)], side))
            latents = pixels.encode(parts.vae, drawn[::factor], size=(side, side), resize="bilinear", batch=8)
            given = pixels.decode(parts.vae, latents, batch=8)
            runner = Between(parts.interpolator, parts.vae, parts.scheduler, factor, seed=number, fps=MODEL.fps)
            spans = zip(RUNS, RUNS[1:], strict=False)
            whole = np.concatenate([runner.run(given[a : b + 1], first=a) for a, b in spans])
            new = [k for k in range(len(drawn)) if k % factor]
            made.append(psnr(whole[new], drawn[new]))
            blended.append(psnr(np.stack([blend(given, k / factor) for k in new]), drawn[new]))
            starts = {a * factor + 1 for a in RUNS[1:-1]}
            seams.append(measure(whole, Differences(starts))["seam_ratio"] or 0.0)
        figures = {"made": fmean(made), "pixels blended": fmean(blended), "seam ratio": fmean(seams)}
        rows[f"{side}x{side}, {factor} for one"] = figures
    return rows


def twice(count: int) -> dict[str, dict[str, float]]:
    """One frame of each scene, drawn small and drawn large."""
    parts, rows = source().pipeline, {}
    for side in (64, 128):
        made, bicubic = [], []
        for number, scene in enumerate(scenes(count)):
            small, large = (world.draw(scene, [number], size) for size in (side, 2 * side))
            made.append(psnr(Upscaler(parts.sharpener, parts.scheduler, seed=0).run(shown(small)), shown(large)))
            plain = F.interpolate(small, scale_factor=2.0, mode="bicubic", align_corners=False).clamp(-1, 1)
            bicubic.append(psnr(shown(plain), shown(large)))
        rows[f"{side} to {2 * side}"] = {"made": fmean(made), "bicubic": fmean(bicubic)}
    return rows


def blend(given: np.ndarray, at: float) -> np.ndarray:
    """Pixels between two frames, the nearer one more."""
    first, share = int(at), at % 1
    return given[first] * (1 - share) + given[first + 1] * share


def source() -> Any:
    return load_source(MAKE_A_VIDEO, MODEL.place(MAKE_A_VIDEO), device="cpu", dtype=torch.float32)


def scenes(count: int) -> Sequence[world.Scene]:
    rng = random.Random(13)
    return [world.scene(caption, rng) for caption in held_out_captions(count, seed=13)]


def shown(drawn: torch.Tensor) -> np.ndarray:  # [F, 3, H, W] in [-1, 1]
    return np.asarray(((drawn.movedim(1, -1) + 1) * 127.5).round().byte())


def psnr(made: np.ndarray, real: np.ndarray) -> float:
    return float(20 * np.log10(255) - 10 * np.log10(np.square(made.astype(float) - real).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["text", "between", "twice"])
    parser.add_argument("--count", type=int, default=8, help="captions, or scenes")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name, figures in {"text": text, "between": between, "twice": twice}[asked.what](asked.count).items():
        print(name, *(f"{figure} {value:.3f}" for figure, value in figures.items()), sep="  ")


if __name__ == "__main__":
    main()
