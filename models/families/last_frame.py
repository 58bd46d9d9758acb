"""Any image-to-video pipeline that is listed here, continued from the last frame that it made.

Source: the comparisons of StreamingT2V (arXiv 2403.14773) section 5. Owns how each kind of pipeline was released, as
data; what a call is asked, `models.streamers.last_frame` knows. A checkpoint of its text-to-video sibling
(`text_weights`) draws the first chunk where no picture is given; all of it is held beside the first one's networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.families.family import Facts, Family, Habits
from models.model import CatalogError, Size

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer

INDEX = "model_index"  # of `Release.where`: an entry of the pipeline, not of a component


@dataclass(frozen=True, slots=True)
class Release:
    """How the checkpoints of a pipeline class were released to be asked.

    where: (component, entry, value) that tells its checkpoints from others of the class. frames: a call's, of the form
    `every * k + rest`. more: what a call is given besides, if the pipeline takes it. draws_on_device: the pipeline
    draws with `torch.randn` on the device, which takes no generator of the CPU's.
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

    def is_of(self, facts: Facts) -> bool:
        """Whether a checkpoint with these facts is one of them."""
        if facts.pipeline != self.pipeline or self.where is None:
            return facts.pipeline == self.pipeline
        component, entry, value = self.where
        there = facts.index.get(entry) if component == INDEX else facts.of(component, entry)
        return bool(there == value)


_WAN = (
    "overexposed, static, blurred details, subtitles, worst quality, low quality, deformed"  # the release's, shortened
)
_LTX = "worst quality, inconsistent motion, blurry, jittery, distorted"
_480P = (Size(832, 480), Size(480, 832))

#: The first that fits a checkpoint is meant.
RELEASES = (
    # Wan 2.2 TI2V-5B, whose VAE makes sides 16 times smaller.
    Release(
        "WanImageToVideoPipeline", fps=24, frames=121, sizes=(Size(1280, 704), Size(704, 1280)), steps=50,
        guidance_scale=5.0, side_of=32, negative_prompt=_WAN, where=(INDEX, "expand_timesteps", True),
    ),
    # Wan 2.2 I2V-A14B, with a network for much noise and one for little.
    Release(
        "WanImageToVideoPipeline", fps=16, frames=81, sizes=_480P, steps=40, guidance_scale=3.5, negative_prompt=_WAN,
        where=(INDEX, "boundary_ratio", 0.9),
    ),
    Release(
        "WanImageToVideoPipeline", fps=16, frames=81, sizes=_480P, steps=50, guidance_scale=5.0, negative_prompt=_WAN,
    ),
    # decode_timestep: of the VAEs that are told how much noise is left, from LTX-Video 0.9.1 on.
    Release(
        "LTXImageToVideoPipeline", fps=25, frames=161, sizes=(Size(768, 512), Size(704, 480), Size(512, 768)),
        steps=50, guidance_scale=3.0, every=8, side_of=32, negative_prompt=_LTX, draws_on_device=True,
        more=(("decode_timestep", 0.05), ("decode_noise_scale", 0.025)),
    ),
    # CogVideoX 1.5, which packs two latent frames into one.
    Release(
        "CogVideoXImageToVideoPipeline", fps=16, frames=81, sizes=(Size(1360, 768),), steps=50, guidance_scale=6.0,
        where=("transformer", "patch_size_t", 2),
    ),
    Release(
        "CogVideoXImageToVideoPipeline", fps=8, frames=49, sizes=(Size(720, 480),), steps=50, guidance_scale=6.0,
    ),
    Release(
        "HunyuanVideoImageToVideoPipeline", fps=24, frames=129, sizes=(Size(1280, 720), Size(720, 1280)), steps=50,
        guidance_scale=6.0,
    ),
    # SVD reads no text. The first release makes 14 frames, SVD-XT 25.
    Release(
        "StableVideoDiffusionPipeline", fps=7, frames=14, sizes=(Size(1024, 576),), steps=25, guidance_scale=3.0,
        every=1, rest=0, side_of=64, where=("unet", "num_frames", 14),
    ),
    Release(
        "StableVideoDiffusionPipeline", fps=7, frames=25, sizes=(Size(1024, 576),), steps=25, guidance_scale=3.0,
        every=1, rest=0, side_of=64,
    ),
)  # fmt: skip


def release_of(facts: Facts) -> Release:
    """Raises `StopIteration` for a pipeline that is not listed: no such checkpoint is of the family."""
    return next(release for release in RELEASES if release.is_of(facts))


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """Those of the release; chunk_frames and fps of the options where they are not 0. A first chunk is a call's
    frames, later ones lack the first, which repeats the picture. Raises `CatalogError('out_of_range')`.
    """
    release = release_of(facts)
    frames = options["chunk_frames"] or release.frames
    if frames < 2 or frames % release.every != release.rest % release.every:
        said = f"chunk_frames is {frames}; {facts.pipeline} makes {release.every} k + {release.rest}, 2 or more."
        raise CatalogError("out_of_range", "set", said)
    return Habits(
        fps=options["fps"] or release.fps,
        sizes=release.sizes,
        steps=release.steps,
        guidance_scale=release.guidance_scale,
        chunk_frames=frames,
        new_frames=frames - 1,
        side_of=release.side_of,
        negative_prompt=release.negative_prompt,
        inputs=("text", "image") if options["text_weights"] else ("image",),
    )


def refuse(facts: Facts) -> str | None:
    """Of HunyuanVideo's first release, after whose picture frames are missing: no frame could be gone on from."""
    if facts.of("transformer", "image_condition_type") == "latent_concat":
        return "its pipeline throws away the four frames after the picture (latent_concat); take a later release."
    return None


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    from models.streamers.last_frame import LastFrame

    release = next(release for release in RELEASES if release.pipeline == type(pipeline).__name__)
    return LastFrame(pipeline, brief, release)


FAMILY = Family(
    name="last-frame",
    title="Pictures set in motion from the last frame on",
    pipelines=frozenset(release.pipeline for release in RELEASES),
    habits=habits,
    stream=stream,
    inputs=("image",),
    options={"chunk_frames": 0, "fps": 0, "text_weights": ""},
    beside="text_weights",
    refuse=refuse,
)
