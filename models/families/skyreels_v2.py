"""SkyReels-V2: a film by diffusion forcing: every latent has a noise level of its own, and the past has nearly none.

Source: SkyReels-V2 (arXiv 2504.13074), after diffusion forcing (arXiv 2407.01392); diffusers'
`SkyReelsV2DiffusionForcingPipeline`, and its counterpart that begins with a picture, which has the same networks.
Standard library only until it streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.families.family import Facts, Family, Habits
from models.model import CatalogError, Size

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer

SCHEDULER = "UniPCMultistepScheduler"


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """As the models for 540P were released; those for 720P are asked for 121 frames at 1280x720."""
    downsample = facts.of("vae", "temperal_downsample", (False, True, True))
    frames, overlap, factor = options["base_frames"], options["overlap_history"], 2 ** sum(downsample)
    block = options["causal_block_size"] or facts.of("transformer", "num_frame_per_block", 1)
    check(options, factor, block)
    _, high, wide = facts.of("transformer", "patch_size", (1, 2, 2))
    return Habits(
        fps=24,
        sizes=(Size(960, 544), Size(544, 960)),
        steps=30,
        guidance_scale=6.0,
        chunk_frames=frames,
        new_frames=frames - overlap,
        side_of=2 ** len(downsample) * max(high, wide),
    )


def check(options: Mapping[str, Any], factor: int, block: int) -> None:
    """Raises `CatalogError` for chunks that cannot be made. factor: frames a latent; block: latents a block."""
    frames, overlap = options["base_frames"], options["overlap_history"]
    for name, count in (("base_frames", frames), ("overlap_history", overlap)):
        if count < 1 or count % factor != 1:
            raise _out_of_range(f"{name} is {count}; one more than a multiple of {factor}, {4 * factor + 1}.")
        if ((count - 1) // factor + 1) % block:
            latents = (count - 1) // factor + 1
            raise _out_of_range(f"{name} is {count}, which is {latents} latents and no multiple of {block} in a block.")
    if overlap >= frames:
        raise _out_of_range(f"overlap_history is {overlap}; less than the {frames} of base_frames.")
    if not 0 <= options["addnoise_condition"] < 1000:
        raise _out_of_range(f"addnoise_condition is {options['addnoise_condition']}; 0 to 999, and 20 is usual.")
    for name in ("ar_step", "vae_context"):
        if options[name] < 0:
            raise _out_of_range(f"{name} is {options[name]}; 0 is the least.")


def refuse(facts: Facts) -> str | None:
    """Networks that are not told a noise level for each latent, or that read a picture in another way."""
    scheduler = (facts.index.get("scheduler") or [None, SCHEDULER])[1]
    channels, latent = facts.of("transformer", "in_channels", 16), facts.of("vae", "z_dim", 16)
    if channels != latent:
        return f"its network takes {channels} channels, and its latents have {latent}."
    if facts.of("transformer", "image_dim") is not None:
        return "its network reads pictures by an encoder of their own, which those of diffusion forcing do not."
    if scheduler != SCHEDULER:
        return f"its scheduler is {scheduler}, and only {SCHEDULER} is known to step each latent by itself."
    return None


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    """What makes the chunks of one video."""
    from models.streamers.skyreels_v2 import SkyReelsV2

    return SkyReelsV2(pipeline, brief)


def _out_of_range(said: str) -> CatalogError:
    return CatalogError("out_of_range", "set", said)


#: ar_step: by how many steps a block is ahead of the next; 0: all together. causal_block_size: latents that see each
#: other and what is before them; 0: as the network was saved. addnoise_condition: thousandths of noise on the past.
#: vae_context: latents decoded again before a chunk; 0: all that the VAE looks back at, so that none is missed.
#: vae_features: what the VAE keeps is handed over instead, 4.94 GB at 960x544.
FAMILY = Family(
    name="skyreels-v2",
    title="SkyReels-V2",
    pipelines=frozenset({"SkyReelsV2DiffusionForcingPipeline", "SkyReelsV2DiffusionForcingImageToVideoPipeline"}),
    habits=habits,
    stream=stream,
    inputs=("text", "image"),
    licence="Skywork Community License",
    options={
        "base_frames": 97,
        "overlap_history": 17,
        "ar_step": 0,
        "causal_block_size": 0,
        "addnoise_condition": 20,
        "vae_context": 0,
        "vae_features": False,
    },
    refuse=refuse,
)
