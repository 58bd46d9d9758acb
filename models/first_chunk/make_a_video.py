"""Make-A-Video (arXiv 2209.14792) as the source of first chunks.

Owns how it is asked; `models.make_a_video` draws. Knows nothing of StreamingT2V.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models import pixels
from models.first_chunk.source import Wish
from models.make_a_video.enlargement import Enlargement
from models.make_a_video.pipeline import Clip, MakeAVideoPipeline, draw
from models.streaming_t2v.sampler import OnStep


class MakeAVideo:
    """Draws as many sizes up as are wished for, and hands the frames over in the size wished for.

    fps: how fast things move. larger, sharper: how its super-resolutions enlarge, where the checkpoint has them.
    """

    needs_image = False

    def __init__(
        self,
        pipeline: MakeAVideoPipeline,
        *,
        fps: float = 8.0,
        larger: Enlargement | None = None,
        sharper: Enlargement | None = None,
    ):
        self.pipeline, self.fps = pipeline, fps
        self._larger = larger if pipeline.enlarger is not None else None
        self._sharper = sharper if pipeline.sharpener is not None else None

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        larger, sharper = self._enlargements(min(wish.height, wish.width))
        clip = Clip(
            prompt=wish.prompt,
            negative_prompt=wish.negative_prompt,
            frames=wish.num_frames,
            fps=wish.rate or self.fps,
            seed=wish.seed,
            steps=wish.steps,
            guidance_scale=wish.guidance_scale,
            larger=larger,
            sharper=sharper,
        )
        return pixels.fit(draw(self.pipeline, clip, on_step), wish.height, wish.width)

    def _enlargements(self, wanted: int) -> tuple[Enlargement | None, Enlargement | None]:
        """Those of its super-resolutions that are needed to come from the decoder's side to the one wanted."""
        parts, done = self.pipeline, []
        side = parts.decoder.image.config.sample_size
        side *= 1 if parts.vae is None else 2 ** (len(parts.vae.config.block_out_channels) - 1)
        for how in (self._larger, self._sharper):
            needed = how if how is not None and side < wanted else None
            side *= needed.factor if needed else 1
            done.append(needed)
        larger, sharper = done
        return larger, sharper


def load(folder: str, **options: Any) -> MakeAVideo:
    """From a folder in diffusers layout; `options` are those of `from_pretrained`."""
    pipeline = MakeAVideoPipeline.from_pretrained(folder, **options)
    through_time = Enlargement(factor=pipeline.config.enlarger_factor)
    by_frame = Enlargement(factor=pipeline.config.sharpener_factor, through_time=False)
    return MakeAVideo(pipeline, larger=through_time, sharper=by_frame)
