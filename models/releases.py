"""How the clip models of diffusers were released to be asked: a table, which nothing is computed from but calls.

Standard library only. The numbers are those of diffusers' documentation. Knows neither streams nor first chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models.families.family import Facts
from models.model import Size

INDEX = "model_index"  # of `Release.where`: an entry of the pipeline, not of a component


@dataclass(frozen=True, slots=True)
class Release:
    """How the checkpoints of a pipeline class were released to be asked.

    where: (component, entry, value) that tells its checkpoints from others of the class. frames: the most of a call,
    of the form `every * k + rest`; is_fixed: and the fewest. sizes: the default first; keeps_shape: its networks were
    trained at these alone, others at any shape of about so many pixels. more: what a call is given besides, if the
    pipeline takes it. draws_on_device: the pipeline draws with `torch.randn` on the device, which takes no generator
    of the CPU's.
    """

    pipeline: str
    fps: int
    frames: int
    sizes: tuple[Size, ...]
    steps: int
    guidance_scale: float
    every: int = 4
    rest: int = 1
    side_of: int = 16
    negative_prompt: str = ""
    where: tuple[str, str, Any] | None = None
    more: tuple[tuple[str, Any], ...] = ()
    draws_on_device: bool = False
    is_fixed: bool = False
    keeps_shape: bool = False

    def is_of(self, facts: Facts) -> bool:
        """Whether a checkpoint with these facts is one of them."""
        if facts.pipeline != self.pipeline or self.where is None:
            return facts.pipeline == self.pipeline
        component, entry, value = self.where
        there = facts.index.get(entry) if component == INDEX else facts.of(component, entry)
        return bool(there == value)

    def frames_for(self, seconds: float) -> int | None:
        """The frames of the shortest call that shows so long, first and last frame included; None where none does."""
        least = math.ceil(seconds * self.fps - 1e-6) + 1
        made = self.frames if self.is_fixed else least + (self.rest - least) % self.every
        return made if least <= made <= self.frames else None

    def size_for(self, shape: Size) -> Size:
        """What to ask for where frames of that shape are wanted: as many pixels as its default has, if it can."""
        if self.keeps_shape:
            wanted = math.log(shape.width / shape.height)
            return min(self.sizes, key=lambda size: abs(math.log(size.width / size.height) - wanted))
        default = self.sizes[0]
        scale = math.sqrt(default.width * default.height / (shape.width * shape.height))
        width, height = (
            max(self.side_of, round(side * scale / self.side_of) * self.side_of) for side in (shape.width, shape.height)
        )
        return Size(width, height)

    def call(self, size: Size, num_frames: int, steps: int, guidance_scale: float, fps: float) -> dict[str, Any]:
        """What a call is asked but for texts, picture and noise, by every name that a pipeline may have for it."""
        return {
            "width": size.width,
            "height": size.height,
            "num_frames": num_frames,
            "num_inference_steps": steps,
            "guidance_scale": guidance_scale,
            "max_guidance_scale": guidance_scale,
            "fps": fps,
            "frame_rate": fps,
            **dict(self.more),
        }


def find(table: Iterable[Release], facts: Facts) -> Release | None:
    """The first of them that a checkpoint with these facts is of."""
    return next((release for release in table if release.is_of(facts)), None)


_WAN = (
    "overexposed, static, blurred details, subtitles, worst quality, low quality, deformed"  # the release's, shortened
)
_LTX = "worst quality, inconsistent motion, blurry, jittery, distorted"
_480P = (Size(832, 480), Size(480, 832))
_704P = (Size(1280, 704), Size(704, 1280))
_720P = (Size(1280, 720), Size(720, 1280))
#: decode_timestep: of the VAEs that are told how much noise is left, from LTX-Video 0.9.1 on.
_TOLD = (("decode_timestep", 0.05), ("decode_noise_scale", 0.025))

#: What draws from a picture. The first that fits a checkpoint is meant.
PICTURES = (
    # Wan 2.2 TI2V-5B, whose VAE makes sides 16 times smaller.
    Release(
        "WanImageToVideoPipeline", fps=24, frames=121, sizes=_704P, steps=50, guidance_scale=5.0, side_of=32,
        negative_prompt=_WAN, where=(INDEX, "expand_timesteps", True),
    ),
    # Wan 2.2 I2V-A14B, with a network for much noise and one for little.
    Release(
        "WanImageToVideoPipeline", fps=16, frames=81, sizes=_480P, steps=40, guidance_scale=3.5, negative_prompt=_WAN,
        where=(INDEX, "boundary_ratio", 0.9),
    ),
    Release(
        "WanImageToVideoPipeline", fps=16, frames=81, sizes=_480P, steps=50, guidance_scale=5.0, negative_prompt=_WAN,
    ),
    Release(
        "LTXImageToVideoPipeline", fps=25, frames=161, sizes=(Size(768, 512), Size(704, 480), Size(512, 768)),
        steps=50, guidance_scale=3.0, every=8, side_of=32, negative_prompt=_LTX, draws_on_device=True, more=_TOLD,
    ),
    # CogVideoX 1.5, which packs two latent frames into one.
    Release(
        "CogVideoXImageToVideoPipeline", fps=16, frames=81, sizes=(Size(1360, 768),), steps=50, guidance_scale=6.0,
        where=("transformer", "patch_size_t", 2),
    ),
    Release(
        "CogVideoXImageToVideoPipeline", fps=8, frames=49, sizes=(Size(720, 480),), steps=50, guidance_scale=6.0,
        keeps_shape=True,
    ),
    Release(
        "HunyuanVideoImageToVideoPipeline", fps=24, frames=129, sizes=_720P, steps=50, guidance_scale=6.0,
    ),
    # SVD reads no text. The first release makes 14 frames, SVD-XT 25.
    Release(
        "StableVideoDiffusionPipeline", fps=7, frames=14, sizes=(Size(1024, 576),), steps=25, guidance_scale=3.0,
        every=1, rest=0, side_of=64, where=("unet", "num_frames", 14), is_fixed=True, keeps_shape=True,
    ),
    Release(
        "StableVideoDiffusionPipeline", fps=7, frames=25, sizes=(Size(1024, 576),), steps=25, guidance_scale=3.0,
        every=1, rest=0, side_of=64, is_fixed=True, keeps_shape=True,
    ),
)  # fmt: skip

#: What draws from text alone.
TEXTS = (
    # Wan 2.2 TI2V-5B.
    Release(
        "WanPipeline", fps=24, frames=121, sizes=_704P, steps=50, guidance_scale=5.0, side_of=32,
        negative_prompt=_WAN, where=(INDEX, "expand_timesteps", True),
    ),
    # Wan 2.2 T2V-A14B.
    Release(
        "WanPipeline", fps=16, frames=81, sizes=_720P, steps=40, guidance_scale=4.0, negative_prompt=_WAN,
        where=(INDEX, "boundary_ratio", 0.875), more=(("guidance_scale_2", 3.0),),
    ),
    Release("WanPipeline", fps=16, frames=81, sizes=_480P, steps=50, guidance_scale=5.0, negative_prompt=_WAN),
    Release(
        "LTXPipeline", fps=25, frames=161, sizes=(Size(704, 512), Size(512, 704)), steps=50, guidance_scale=3.0,
        every=8, side_of=32, negative_prompt=_LTX, more=_TOLD,
    ),
    Release(
        "CogVideoXPipeline", fps=16, frames=81, sizes=(Size(1360, 768), Size(768, 1360)), steps=50,
        guidance_scale=6.0, where=("transformer", "patch_size_t", 2),
    ),
    Release(
        "CogVideoXPipeline", fps=8, frames=49, sizes=(Size(720, 480),), steps=50, guidance_scale=6.0,
        keeps_shape=True,
    ),
    Release("HunyuanVideoPipeline", fps=24, frames=129, sizes=_720P, steps=50, guidance_scale=6.0),
    Release(
        "MochiPipeline", fps=30, frames=163, sizes=(Size(848, 480),), steps=64, guidance_scale=4.5, every=6,
        keeps_shape=True,
    ),
)  # fmt: skip
