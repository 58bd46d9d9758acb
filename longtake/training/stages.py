"""The stages of training, and `run`, which trains one of them as a recipe says.

Owns the list; each stage stands in a module of its own.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from longtake.checkpoints.inventory import INDEX, seal
from longtake.training import processes
from longtake.training.autoencoder import AutoencoderStage
from longtake.training.bundle import check_origin, unbundle
from longtake.training.clip_pair import ClipStage
from longtake.training.clips import ShapesSource, Source
from longtake.training.few_steps import QuickChunkStage, QuickFirstChunkStage
from longtake.training.first_chunk import FirstChunkStage
from longtake.training.folder import restore
from longtake.training.layout import LayoutStage
from longtake.training.loop import train
from longtake.training.make_a_video.decoder import ImageDecoderStage, VideoDecoderStage
from longtake.training.make_a_video.interpolator import InterpolatorStage
from longtake.training.make_a_video.prior import PriorStage
from longtake.training.make_a_video.sharpener import SharpenerStage
from longtake.training.recipe import Data, Recipe
from longtake.training.refiner import RefinerStage
from longtake.training.streaming import ApmStage, CamStage
from longtake.training.text import TextStage
from longtake.training.text2video_zero.control import ControlStage
from longtake.training.text2video_zero.edit import EditStage
from longtake.training.text2video_zero.text_to_image import TextToImageStage
from longtake.training.transformer import TransformerStage
from longtake.training.videocrafter import ImageToVideoStage, TextToVideoStage
from longtake.training.videos import VideoSource
from models.loading import find_checkpoint
from models.model import CheckpointError

#: Each builds on those before it. All but `ON_DATA` make the bundled model's networks, of its sizes.
STAGES: dict[str, Any] = {
    "vae": AutoencoderStage,
    "text": TextStage,
    "layout": LayoutStage,
    "clip": ClipStage,
    "first_chunk": FirstChunkStage,
    "cam": CamStage,
    "apm": ApmStage,
    "refiner": RefinerStage,
    "quick_first_chunk": QuickFirstChunkStage,
    "quick_chunk": QuickChunkStage,
    "transformer": TransformerStage,
    "text_to_image": TextToImageStage,
    "edit": EditStage,
    "control": ControlStage,
    "text_to_video": TextToVideoStage,
    "image_to_video": ImageToVideoStage,
    "prior": PriorStage,
    "image_decoder": ImageDecoderStage,
    "video_decoder": VideoDecoderStage,
    "interpolator": InterpolatorStage,
    "sharpener": SharpenerStage,
}
#: Those that train a checkpoint of any size, on the recipe's data.
ON_DATA = ("cam", "apm")


def source_of(data: Data) -> Source:
    """Where clips come from. Raises `FootageError`."""
    if data.videos is not None:
        return VideoSource(data.videos, size=data.size, fps=data.fps)
    return ShapesSource(size=data.size, pairs=data.pairs, latest=data.latest)


def open_folder(recipe: Recipe) -> None:
    """The folder that is trained into, with the checkpoint's components in it where the recipe begins with one."""
    begun_from = None if recipe.checkpoint is None else Path(find_checkpoint(recipe.checkpoint))
    with processes.join().main_process_first():
        if begun_from is not None and not recipe.folder.is_dir():
            recipe.folder.parent.mkdir(parents=True, exist_ok=True)
            unbundle(begun_from, recipe.folder, recipe.parts, fresh=recipe.fresh)
        elif processes.join().is_main_process:
            restore(recipe.folder)
    if begun_from is not None and recipe.parts is None:
        check_origin(recipe.folder, begun_from, recipe.fresh)


def run(name: str, recipe: Recipe, source: Source) -> None:
    """Train stage `name` on top of what the recipe's folder holds, and write its weights there.

    Stopped at any moment it loses at most `keep_every_s`: `runs/NAME.pt` is where the next call goes on.
    """
    stage, told, folder = STAGES[name], recipe.stages[name], recipe.folder
    missing = [part for part in getattr(stage, "needs", ()) if not (folder / part).is_dir()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}, which {name} goes on from.")
    build = functools.partial(stage, folder, told, **({"source": source} if name in ON_DATA else {}))
    train(
        build,
        budget=told.budget,
        progress=recipe.runs / f"{name}.pt",
        processes=told.processes,
        seed=told.seed,
    )
    with processes.join().main_process_first():
        if processes.join().is_main_process and (folder / INDEX).is_file():
            seal(folder)
