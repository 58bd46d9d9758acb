"""What interpolation and enlargement do to a long video: `python -m bench.later [--frames 240] [--refine]`.

The bundled model streams a video; ↑F and SRₕ make it smoother and larger, as in the service. Shown are the seam ratio
where the units of each track meet (1: none), and the most memory that the process has held, beside that of a video of a
quarter of the frames, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from models import catalog, systems
from models.evaluation.difference import Differences
from models.first_chunk.loading import load_source
from models.loading import load_pipeline
from models.recipe import Recipe
from models.request import RefineOptions, VideoRequest

PROMPT = "a red circle moving right slowly on a black background"


def measure(frames: int, interpolate: int, upscale: int, refine: bool, steps: int) -> dict[str, float]:
    """Seam ratios by track, seconds by stage, and MiB at the peak; frames are looked at and let go."""
    torch.set_num_threads(1)
    model = catalog.find(catalog.DEFAULT_MODEL)
    request = VideoRequest(
        prompt=PROMPT,
        num_frames=frames,
        seed=1,
        steps=steps,
        guidance_scale=model.default_guidance_scale,
        anchor_guidance_scale=model.default_anchor_guidance_scale,
        refine=RefineOptions(model.default_refine_steps, model.default_refine_strength) if refine else None,
        interpolate=interpolate,
        upscale=upscale,
    )
    later = load_source(systems.MAKE_A_VIDEO, model.place(systems.MAKE_A_VIDEO), device="cpu")
    recipe = Recipe(load_pipeline(model.checkpoint, device="cpu"), model, request, {systems.MAKE_A_VIDEO: later})
    starts: dict[str, set[int]] = {}
    for unit in recipe.plan:
        if unit.stage.track and unit.num_frames:
            starts.setdefault(unit.stage.track, set()).add(unit.first_frame)
    gauges = {track: Differences(first - {0}) for track, first in starts.items()}
    seconds: dict[str, float] = {}
    begun = time.process_time()
    for unit, made in recipe.generate():
        for frame in made.frames:
            gauges[unit.stage.track].see(frame)
        now = time.process_time()
        seconds[unit.stage] = seconds.get(unit.stage, 0) + now - begun
        begun = now
    seams = {f"seam ratio, {track}": gauge.figures()["seam_ratio"] or 0.0 for track, gauge in gauges.items()}
    flickers = {f"flicker, {track}": gauge.figures()["flicker"] or 0.0 for track, gauge in gauges.items()}
    share = {f"share of the time, {stage}": spent / sum(seconds.values()) for stage, spent in seconds.items()}
    return {**seams, **flickers, **share, "peak MiB": peak_mib()}


def peak_mib() -> float:
    """The most memory that this process has held."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def apart(frames: int, asked: argparse.Namespace) -> dict[str, float]:
    """The same in a process of its own, whose peak is of this video alone."""
    command = [sys.executable, "-m", "bench.later", "--frames", str(frames), "--alone"]
    command += ["--interpolate", str(asked.interpolate), "--upscale", str(asked.upscale), "--steps", str(asked.steps)]
    command += ["--refine"] if asked.refine else []
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"frames": 240, "interpolate": 4, "upscale": 2, "steps": 25}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--refine", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(measure(asked.frames, asked.interpolate, asked.upscale, asked.refine, asked.steps)))
        return
    short, long = (apart(frames, asked) for frames in (asked.frames // 4, asked.frames))
    for name, value in long.items():
        print(f"{name}: {value:.3f}")
    print(f"peak against that of {asked.frames // 4} frames: {long['peak MiB'] / short['peak MiB']:.3f}")


if __name__ == "__main__":
    main()
