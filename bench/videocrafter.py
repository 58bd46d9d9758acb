"""How well the tiny VideoCrafters draw what they are told: `python -m bench.videocrafter text|rate|picture|baseline`.

All on prompts that were held out of training, read by the tracker of the shapes world. `text` and `rate` are for
text-to-video, `picture` and `baseline` for image-to-video, `streaming` is what the baseline is held to. `--model` names
another checkpoint, or its folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from models import catalog
from models.evaluation.cuts import scene_cuts
from models.evaluation.difference import flicker
from models.evaluation.following import held_out_captions, means, roll_out, score_first_chunk, score_roll_out
from models.evaluation.picture import held_out_pictures, score_picture
from models.evaluation.rate import score_rates, slow_movers
from models.loading import find_checkpoint, load_pipeline
from models.shapes import tracker
from models.shapes.language import Caption
from models.videocrafter import baseline
from models.videocrafter.clip import Clip, draw
from models.videocrafter.pipeline import VideoCrafterPipeline

SIDE = 64
MODELS = {
    "text": "tiny-videocrafter",
    "rate": "tiny-videocrafter",
    "picture": "tiny-videocrafter-i2v",
    "baseline": "tiny-videocrafter-i2v",
    "streaming": "tiny-shapes",
}


def text(parts: VideoCrafterPipeline, asked: Any, options: dict[str, Any]) -> dict[str, float]:
    """Shares of captions whose clip of 8 frames a second shows what they say."""

    def score(i: int, caption: Caption) -> Any:
        return score_first_chunk(caption, draw(parts, Clip(str(caption), SIDE, SIDE, seed=i, **options)))

    return means([score(i, caption) for i, caption in enumerate(held_out_captions(asked.count))])


def rate(parts: VideoCrafterPipeline, asked: Any, options: dict[str, Any]) -> dict[str, float]:
    """Steps from frame to frame of the same prompts at 4 and at 16 frames a second, and their ratio (ideal: 4)."""

    def clip(caption: Caption, seed: int, fps: float) -> np.ndarray:
        return draw(parts, Clip(str(caption), SIDE, SIDE, seed=seed, **options | {"fps": fps}))

    score = score_rates(clip, slow_movers(asked.count))
    return {"step at 4 fps": score.slow_step, "step at 16 fps": score.fast_step, "ratio": score.ratio or 0.0}


def picture(parts: VideoCrafterPipeline, asked: Any, options: dict[str, Any]) -> dict[str, float]:
    """Shares of clips that keep what their picture shows: without a prompt, and with the true one."""
    figures: dict[str, float] = {}
    for name in ("no prompt", "true prompt"):
        scores, directions = [], []
        for i, (caption, image) in enumerate(held_out_pictures(asked.count)):
            frames = draw(
                parts, Clip(str(caption) if name == "true prompt" else "", SIDE, SIDE, seed=i, image=image, **options)
            )
            scores.append(score_picture(image, frames))
            directions.append(score_first_chunk(caption, frames))
        figures |= {f"{name}: {key}": value for key, value in means(scores).items()}
        figures |= {f"{name}: direction": means(directions)["direction"]}
    return figures


def roll_outs(parts: VideoCrafterPipeline, asked: Any, options: dict[str, Any]) -> dict[str, float]:
    """Again and again from the last frame, beginning with a held-out picture and its caption."""
    count = -(-asked.frames // parts.unet.config.num_frames)
    made = []
    for i, (caption, image) in enumerate(held_out_pictures(asked.count)):
        clip = Clip(str(caption), SIDE, SIDE, seed=i, image=image, **options)
        chunks = list(baseline.chunks(parts, clip, count))
        starts = np.cumsum([len(chunk) for chunk in chunks])[:-1].tolist()
        made.append((caption, np.concatenate(chunks)[: asked.frames], starts))
    return long_takes(made)


def streaming(parts: Any, asked: Any, options: dict[str, Any]) -> dict[str, float]:
    """StreamingT2V on the same captions, for comparison; with the settings of its model, and without a picture."""
    model, made = catalog.find("tiny-shapes"), []
    for i, (caption, _) in enumerate(held_out_pictures(asked.count)):
        made.append((caption, *roll_out(parts, model, caption, num_frames=asked.frames, seed=i)))
    return long_takes(made)


def long_takes(made: list[tuple[Caption, np.ndarray, list[int]]]) -> dict[str, float]:
    """Figures of long videos, with how far the actor goes from frame to frame, inside chunks and between them."""
    inside: list[float] = []
    between: list[float] = []
    for _, frames, starts in made:
        seen = tracker.track(torch.from_numpy(frames)).sightings
        for at, (one, then) in enumerate(pairwise(seen), start=1):
            if one and then:
                (between if at in starts else inside).append(float(np.hypot(then.x - one.x, then.y - one.y)))
    return means([score_roll_out(*one) for one in made]) | {
        "step inside": float(np.mean(inside)),
        "step between": float(np.mean(between)),
        "scene cuts": float(np.mean([len(scene_cuts(frames)) for _, frames, _ in made])),
        "flicker": float(np.mean([flicker(frames) for _, frames, _ in made])),
    }


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "text": text,
    "rate": rate,
    "picture": picture,
    "baseline": roll_outs,
    "streaming": streaming,
}


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("what", choices=MEASURES)
    say.add_argument("--model")
    say.add_argument("--count", type=int, default=32)
    say.add_argument("--frames", type=int, default=80)
    for name, default in {"steps": 25, "guidance_scale": 2.0, "eta": 0.0, "fps": 8.0}.items():
        say.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    asked = say.parse_args()
    torch.set_num_threads(1)
    folder = find_checkpoint(asked.model or MODELS[asked.what])
    load = load_pipeline if asked.what == "streaming" else VideoCrafterPipeline.from_pretrained
    parts = load(folder, dtype=torch.float32)
    options = {name: getattr(asked, name) for name in ("steps", "guidance_scale", "eta", "fps")}
    began = time.monotonic()
    for name, value in MEASURES[asked.what](parts, asked, options).items():
        print(f"{name:24} {value:.3f}")
    print(f"{asked.count} of each, {options}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
