"""Chunk after chunk: the streaming stage of StreamingT2V.

Source: arXiv 2403.14773, sections 4 and 5. Owns what one chunk needs of the one before it (the state); knows nothing
of how the first one is made (`models.first_chunk`), of refinement, jobs or files.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise, pixels
from models.company import Seat
from models.streaming_t2v.anchor import embed_anchor, embed_no_anchor
from models.streaming_t2v.context import Context
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.sampler import Denoise, OnStep, ignore, sample_chunk
from models.streaming_t2v.solvers import solver
from models.streaming_t2v.text import EncodedText, concatenate, pooled_for
from models.streaming_t2v.way import Look, Way, guided
from models.turbo import Turbo

#: "frames": uint8 [F, H, W, 3], the chunk's new frames; "anchor": float32 [E]; and where known frames are held,
#: "latents": float32 [C, F_cond, h, w] of the last frames.
State = dict[str, Tensor]


#: Published: the first frame of all. In training it is a random one of the first chunk. 'last_chunk' forgets the
#: beginning: the anchor of a chunk is the first new frame of the chunk before it.
ANCHORS = ("first", "random", "last_chunk")


@dataclass(frozen=True, slots=True)
class StreamerSettings:
    """How chunks are sampled. Published: 50 steps, both scales 7.5, eta 1, 16 frames of which 8 are known."""

    steps: int = 50
    guidance_scale: float = 7.5
    anchor_guidance_scale: float = 7.5
    eta: float = 1.0
    chunk_frames: int = 16
    conditioning_frames: int = 8
    hold_known_frames: bool = False  # keep the known frames' latents at every step, instead of making them again
    use_cam: bool = True  # without it chunks are independent (an ablation)
    use_apm: bool = True  # without it no chunk sees the anchor (an ablation)
    anchor: str = "first"  # which frame it is: ANCHORS
    turbo: Turbo = Turbo()  # what is left out, which is nothing

    def __post_init__(self) -> None:
        if self.anchor not in ANCHORS:
            raise ValueError(f"anchor is '{self.anchor}'; it can be {', '.join(ANCHORS)}.")


class Streamer:
    """Makes the chunks of one video. Holds nothing that changes: what passes from chunk to chunk is the state."""

    def __init__(self, parts: StreamingPipeline, settings: StreamerSettings, *, height: int, width: int, seed: int):
        self.parts, self.settings, self.seed = parts, settings, seed
        factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
        channels, frames = parts.vae.config.latent_channels, settings.chunk_frames
        self.latent_shape = (channels, frames, height // factor, width // factor)

    def seeded(self, seed: int) -> Streamer:
        """The same streamer with another seed."""
        other = copy.copy(self)
        other.seed = seed
        return other

    @torch.no_grad()
    def begin(self, frames: np.ndarray, latents: Tensor | None = None) -> State:
        """The state that a first chunk leaves, uint8 [F, H, W, 3]. latents: [1, C, F, h, w], where they are known."""
        if latents is None and self._hands_on_latents:
            last = frames[-self.settings.conditioning_frames :]
            latents = pixels.encode(self.parts.vae, last, size=last.shape[1:3], resize="bilinear", batch=8)[None]
        return self._state(frames, latents, self._anchor(frames))

    @torch.no_grad()
    def next_chunk(
        self, index: int, state: State, text: EncodedText, null: EncodedText, on_step: OnStep = ignore
    ) -> tuple[np.ndarray, State]:
        """The 8 new frames of chunk `index` (1, 2, …), continuing from the state that the chunk before it left."""
        remembered = state["frames"][-self.settings.conditioning_frames :].numpy()
        pixels_known = self._to_pixels(remembered)
        known = self._known(state)
        held = known if self.settings.hold_known_frames else None
        with self.parts.company.seat() as seat:
            denoise = self._streaming_denoiser(pixels_known, known, state["anchor"], text, null, seat)
            latents = self._sample(denoise, index=index, known=held, on_step=on_step)
        frames = self.decode(latents[:, :, self.settings.conditioning_frames :])
        anchor = self._anchor(frames) if self.settings.anchor == "last_chunk" else state["anchor"]
        return frames, self._state(frames, latents, anchor)

    def _anchor(self, frames: np.ndarray) -> Tensor:
        """The embedding [E] of a chunk's anchor frame."""
        at = noise.integer(0, len(frames) - 1, seed=self.seed, stage="anchor", index=0, step=0)
        chosen = at if self.settings.anchor == "random" else 0
        return embed_anchor(self.parts.image_encoder, self._to_pixels(frames[chosen : chosen + 1]))[0].cpu()

    def _state(self, frames: np.ndarray, latents: Tensor | None, anchor: Tensor) -> State:
        """What the next chunk needs. Held latents are handed on as they are: encoded again they would be others."""
        state = {"frames": torch.from_numpy(frames), "anchor": anchor}
        if self._hands_on_latents and latents is not None:
            state["latents"] = latents[0, :, -self.settings.conditioning_frames :].float().cpu()
        return state

    @property
    def _hands_on_latents(self) -> bool:
        return self.settings.hold_known_frames or self.parts.unet.config.get("known_planes", False)

    def _known(self, state: State) -> Tensor | None:
        if not self._hands_on_latents:
            return None
        return state["latents"].unsqueeze(0).to(self.parts.device)

    def _streaming_denoiser(
        self, frames: Tensor, known: Tensor | None, anchor: Tensor, text: EncodedText, null: EncodedText, seat: Seat
    ) -> Denoise:
        """The guided network of one chunk, with everything that is constant over its steps computed here.

        frames: conditioning frames [F_cond, 3, H, W] in [-1, 1]; they enter every branch, as published. known: their
        latents, for a network with `known_planes`.
        """
        how = self.settings
        planes = {"known": known} if self.parts.unet.config.get("known_planes", False) else {}
        way = partial(self._way, frames=frames, anchor=anchor, text=text, null=null, planes=planes)
        return guided(way, how.guidance_scale, how.anchor_guidance_scale, how.turbo, how.steps, seat)

    def _way(
        self,
        names: tuple[str, ...],
        frames: Tensor,
        anchor: Tensor,
        text: EncodedText,
        null: EncodedText,
        planes: dict[str, Tensor | None],
    ) -> Way:
        """How the network is asked for these branches of guidance."""
        unet = self.parts.unet
        texts = concatenate([null if name == "null" else text for name in names])
        look = self._memory(frames, texts) if self.settings.use_cam else None
        context, pooled = self._anchored(names, texts, anchor), pooled_for(unet, texts.pooled)
        return Way(unet, len(names), context, pooled, look, planes, keeps_deep=self.settings.turbo.deep_every > 1)

    def _memory(self, frames: Tensor, texts: EncodedText) -> Look | None:
        """None without CAM."""
        cam = self.parts.cam
        if cam is None:
            return None
        embedded = cam.embed(frames.unsqueeze(0).to(cam.dtype))
        return Look(cam, cam.context(texts.tokens), embedded, pooled_for(cam, texts.pooled))

    def _anchored(self, names: tuple[str, ...], texts: EncodedText, anchor: Tensor) -> Context:
        """Text mixed with the anchor in the 'full' branch and with the empty anchor in the others."""
        device, dtype = texts.tokens.device, texts.tokens.dtype
        if not self.settings.use_apm:
            return self.parts.unet.context(texts.tokens)
        given = anchor.unsqueeze(0).to(device)
        empty = embed_no_anchor(self.parts.image_encoder).to(device)
        embeddings = torch.cat([given if name == "full" else empty for name in names])
        return self.parts.unet.anchored_context(texts.tokens, self.parts.apm(embeddings.to(dtype)))

    def _sample(self, denoise: Any, *, index: int, known: Tensor | None, on_step: OnStep) -> Tensor:
        settings, parts = self.settings, self.parts
        scheduler = solver(parts.scheduler, settings.turbo.solver, settings.steps, parts.device)
        draw = self.noise(index)
        start = draw(noise.INITIAL) * scheduler.init_noise_sigma
        return sample_chunk(denoise, start, scheduler, draw, eta=settings.eta, known=known, on_step=on_step)

    def noise(self, index: int) -> Callable[[int], Tensor]:
        """The noise of chunk `index`: step -> [1, C, F, h, w], float32 as all latents between steps."""

        def draw(step: int) -> Tensor:
            drawn = noise.gaussian(self.latent_shape, seed=self.seed, stage="stream", index=index, step=step)
            return drawn.unsqueeze(0).to(self.parts.device)

        return draw

    def decode(self, latents: Tensor) -> np.ndarray:  # [1, C, F, h, w] -> uint8 [F, H, W, 3]
        return pixels.decode(self.parts.vae, latents[0], batch=8)

    def _to_pixels(self, frames: np.ndarray) -> Tensor:  # uint8 [F, H, W, 3] -> [F, 3, H, W] in [-1, 1]
        return torch.from_numpy(frames).to(self.parts.device).permute(0, 3, 1, 2).float() / 127.5 - 1
