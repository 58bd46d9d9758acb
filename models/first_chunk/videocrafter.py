"""VideoCrafter1 (arXiv 2310.19512) as the source of first chunks, from a text or from a text and a picture.

Owns how it is asked; `models.videocrafter` draws. Knows nothing of StreamingT2V.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models import pixels
from models.first_chunk.source import Wish
from models.model import CheckpointError
from models.streaming_t2v.sampler import OnStep
from models.videocrafter.clip import Clip, draw
from models.videocrafter.pipeline import VideoCrafterPipeline

FEWEST_STEPS = 2  # one alone would be near the clean end


class VideoCrafter:
    """Draws at about the size that the network was trained at, and hands the frames over in the size wished for.

    A network that reads pictures is given one, cropped to the shape of the video; none of its frames is the picture
    itself, for it sees its meaning only. fps: how fast things move, for a network that hears it.
    """

    def __init__(self, pipeline: VideoCrafterPipeline, *, fps: float = 8):
        self.pipeline, self.fps = pipeline, fps
        self.needs_image: bool = pipeline.unet.config.image_attention

    def draw(self, wish: Wish, on_step: OnStep) -> np.ndarray:
        trained = self.pipeline.unet.config.num_frames
        if trained < wish.num_frames:
            raise CheckpointError(f"This VideoCrafter makes {trained} frames; {wish.num_frames} are needed.")
        height, width = wish.near(min(self.pipeline.unet.config.sample_size) * self.pipeline.pixels_per_latent)
        clip = Clip(
            prompt=wish.prompt,
            negative_prompt=wish.negative_prompt,
            image=self._picture(wish),
            height=height,
            width=width,
            seed=wish.seed,
            steps=min(max(wish.steps, FEWEST_STEPS), self._most_steps),
            guidance_scale=wish.guidance_scale,
            fps=wish.rate or self.fps,
            eta=wish.eta,
            index=wish.index,
        )
        return pixels.fit(draw(self.pipeline, clip, on_step)[: wish.num_frames], wish.height, wish.width)

    @property
    def _most_steps(self) -> int:
        trained: int = self.pipeline.schedule.config.num_train_timesteps
        return trained // 2

    def _picture(self, wish: Wish) -> np.ndarray | None:
        """What of the picture is in the video's shape. A network that reads text alone is given none."""
        if not self.needs_image:
            return None
        if wish.image is None:
            raise ValueError("This VideoCrafter goes on from a picture, and none is given.")
        return pixels.crop(wish.image, wish.height, wish.width)


def load(folder: str, *, fps: float = 8, **options: Any) -> VideoCrafter:
    return VideoCrafter(VideoCrafterPipeline.from_pretrained(folder, **options), fps=fps)
