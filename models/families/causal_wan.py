"""Causal Wan: networks of Wan's layout that were taught to go on from what they have made, in few steps.

Source: CausVid (arXiv 2412.07772), Self-Forcing (arXiv 2506.08009) and LongLive (arXiv 2509.22622), which distilled
Wan 2.1 (arXiv 2503.20314) so. Their weights are those of diffusers' `WanTransformer3DModel`, and their checkpoints look
like Wan's own, which was never taught this: so the family must be named. Standard library only until it streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.families.family import Facts, Family, Habits
from models.model import CatalogError, Size

if TYPE_CHECKING:
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer


def habits(facts: Facts, options: Mapping[str, Any]) -> Habits:
    """As Self-Forcing's 1.3B was released."""
    factor = 2 ** sum(facts.of("vae", "temperal_downsample", (False, True, True)))
    latents, window, sink = (int(options[name]) for name in ("latents_per_chunk", "window_latents", "sink_latents"))
    for name, count, least in (
        ("latents_per_chunk", latents, 1),
        ("window_latents", window, latents),
        ("sink_latents", sink, 0),
    ):
        if count < least or count % latents:
            said = f"{name} is {count}; a multiple of latents_per_chunk, {latents}, from {least} on."
            raise CatalogError("out_of_range", "set", said)
    _, high, wide = facts.of("transformer", "patch_size", (1, 2, 2))
    return Habits(
        fps=16,
        sizes=(Size(832, 480), Size(480, 832)),
        steps=4,
        guidance_scale=1.0,
        max_guidance_scale=1.0,  # it is distilled into the weights
        chunk_frames=(latents - 1) * factor + 1,
        new_frames=latents * factor,
        side_of=8 * max(high, wide),
    )


def refuse(facts: Facts) -> str | None:
    """Networks that read more than latents and text, or have two of them for more and for less noise."""
    if facts.of("transformer", "in_channels", 16) != facts.of("vae", "z_dim", 16):
        return "its network takes more than latents."
    if facts.of("transformer", "image_dim") is not None:
        return "its network reads pictures, which causal ones do not."
    if facts.index.get("transformer_2") not in (None, [None, None]):
        return "it has two networks, one for much noise and one for little."
    return None


def stream(pipeline: Any, brief: Brief) -> ChunkStreamer:
    """What makes the chunks of one video."""
    from models.streamers.causal_wan import CausalWan

    return CausalWan(pipeline, brief)


#: window_latents: how many latents before a chunk it looks at; sink_latents: and how many of the video's first ones
#: besides (LongLive). shift: of the noise levels towards noise. vae_context: as of skyreels-v2.
FAMILY = Family(
    name="causal-wan",
    title="Causal Wan",
    pipelines=frozenset({"WanPipeline"}),
    is_named=True,
    habits=habits,
    stream=stream,
    inputs=("text",),
    licence="that of the distilled weights: CausVid CC BY-NC-SA 4.0, Self-Forcing Apache-2.0",
    options={"latents_per_chunk": 3, "window_latents": 18, "sink_latents": 0, "shift": 5.0, "vae_context": 0},
    refuse=refuse,
)
