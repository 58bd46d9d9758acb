"""Text2Video-Zero: a model of pictures draws a video of any length, chunk by chunk, without any training.

Source: arXiv 2303.13439, section "Method". Owns the order of things; the mathematics is its neighbours' (`motion`,
`sampler`, `attention`, `smoothing`). Knows nothing of jobs, files or of where its parts came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise, pixels
from models.streaming_t2v import text
from models.streaming_t2v.sampler import OnStep, ignore
from models.text2video_zero.attention import looking_at_the_first_frame
from models.text2video_zero.chunks import chunks, counted, how_many
from models.text2video_zero.denoiser import by_text, denoiser, unguided
from models.text2video_zero.motion import translations, warp
from models.text2video_zero.options import Options
from models.text2video_zero.parts import ddim
from models.text2video_zero.saliency import Saliency, against_the_border
from models.text2video_zero.sampler import levels, noise_up, walk_down
from models.text2video_zero.smoothing import smooth, subject

STAGE = "text2video-zero"  # of the noise

#: "start": x^1_T, "moved": x^1_T', the first frame's latents float32 [C, h, w]. All that a chunk needs to be made
#: anywhere, at any time, whichever chunks there are besides.
State = dict[str, Tensor]


class Text2VideoZero:
    """One video. Holds nothing that changes.

    The first frame is drawn down to T alone. Chunks are [first frame, new frames]: the new ones are the first frame
    moved by W_k at T' and noised up to T, and all are drawn down together, looking at the first. As in the paper frame
    0 of the video is that first frame; the published code makes it a second time with other noise. Also there, every
    chunk draws the same noise again; here each frame has its own.

    parts: `parts.load`'s. height, width: pixels, multiples of the VAE's factor, 8. saliency: finds the subject where
    `options.alpha` asks for smoothing.
    """

    def __init__(
        self,
        parts: Any,
        options: Options,
        *,
        height: int,
        width: int,
        seed: int,
        saliency: Saliency = against_the_border,
    ):
        factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
        if height % factor or width % factor or min(height, width) <= 0:
            raise ValueError(f"The size is {width}x{height}; both sides must be multiples of {factor}.")
        self.parts, self.options, self.seed, self._saliency = parts, options, seed, saliency
        self._shape = (parts.vae.config.latent_channels, height // factor, width // factor)
        self._scheduler = ddim(parts.scheduler, options.steps)
        self._grid = self._scheduler.timesteps.tolist()
        self.t_prime, self.t_start = levels(self._grid, t_prime=options.t_prime, t_start=options.t_start)
        self._opening = [t for t in self._grid if t > self.t_prime]
        self._joint = [t for t in self._grid if t <= self.t_start]

    def generate(
        self, prompt: str, negative_prompt: str = "", *, num_frames: int, on_step: OnStep = ignore
    ) -> Iterator[np.ndarray]:
        """The video, uint8 [F, H, W, 3] chunk by chunk; only one of them is in memory at a time.

        on_step: (network passes done, of how many in the whole video). Raises ValueError for no frames at all.
        """
        of_chunks = how_many(num_frames, self.options.chunk_frames)
        count = counted(on_step, self.passes_to_begin + of_chunks * self.passes_a_chunk)
        return self._chunks(num_frames, self.read(prompt, negative_prompt), count)

    def _chunks(self, num_frames: int, tokens: Tensor, on_step: OnStep) -> Iterator[np.ndarray]:
        state = self.begin(tokens, on_step)
        for frames in chunks(num_frames, self.options.chunk_frames):
            yield self.chunk(state, frames, tokens, on_step)

    @property
    def passes_to_begin(self) -> int:
        """How many times the network looks at the first frame alone."""
        return len(self._opening)

    @property
    def passes_a_chunk(self) -> int:
        """How many times the network looks at the frames of one chunk."""
        return len(self._joint) * (2 if self.options.alpha else 1)

    @torch.no_grad()
    def read(self, prompt: str, negative_prompt: str = "") -> Tensor:
        """The text of each guidance branch, [branches, T, D]."""
        encoder = self.parts.text_encoder
        prompts = [prompt] if self.options.guidance_scale == 1 else [negative_prompt, prompt]
        return text.encode(self.parts.tokenizer, encoder, prompts, encoder.config.max_position_embeddings).tokens

    @torch.no_grad()
    def begin(self, tokens: Tensor, on_step: OnStep = ignore) -> State:
        """The first frame's latents at T and at T', which every chunk is made from."""
        drawn = noise.gaussian(self._shape, seed=self.seed, stage=STAGE, index=0)
        above = [t for t in self._opening if t > self.t_start]
        count = counted(on_step, len(self._opening))
        start = self._down(drawn[None, :, None].to(tokens.device), tokens, above, count)
        moved = self._down(start, tokens, self._opening[len(above) :], count)
        return {"start": start[0, :, 0].cpu(), "moved": moved[0, :, 0].cpu()}

    @torch.no_grad()
    def chunk(self, state: State, frames: range, tokens: Tensor, on_step: OnStep = ignore) -> np.ndarray:
        """Those frames, uint8 [F, H, W, 3]; the first frame is drawn with them and given out as frame 0 only."""
        count = counted(on_step, self.passes_a_chunk)
        later = range(max(frames.start, 1), frames.stop)
        start = self.latents(state, later).to(tokens.device)
        made = self._down(start, tokens, self._joint, count)
        if self.options.alpha:
            start = self._smoothed(start, self._decoded(made), later)
            made = self._down(start, tokens, self._joint, count)
        return self._decoded(made if frames.start == 0 else made[:, :, 1:])

    def latents(self, state: State, frames: range) -> Tensor:
        """x^1 and x^k at T, [1, C, 1 + K, h, w], of frames k >= 1: a pure function of the state, the seed and k."""
        start, lower = (state[name][None, :, None] for name in ("start", "moved"))
        if not frames:
            return start
        moved = warp(lower, translations(self.options.motion, frames))
        fresh = noise.per_frame(self._shape, seed=self.seed, stage=STAGE, frames=frames)[None]
        noised = noise_up(moved, fresh, self._scheduler.alphas, low=self.t_prime, high=self.t_start)
        return torch.cat([start, noised], dim=2)

    def _smoothed(self, start: Tensor, drawn: np.ndarray, later: range) -> Tensor:
        """The start of a second pass: backgrounds drawn to that of the first frame. The first frame stays."""
        masks = subject(self._saliency(drawn).to(start.device), *start.shape[-2:])
        first, first_mask = start[:, :, :1], masks[:, :, :1]
        shift = translations(self.options.motion, later)
        mixed = smooth(start[:, :, 1:], masks[:, :, 1:], first, first_mask, shift, alpha=self.options.alpha)
        return torch.cat([first, mixed], dim=2)

    def _down(self, latents: Tensor, tokens: Tensor, timesteps: list[int], on_step: OnStep) -> Tensor:
        unet, scale = self.parts.unet, self.options.guidance_scale
        denoise = denoiser(unet, tokens, unguided if len(tokens) == 1 else by_text(scale))
        with looking_at_the_first_frame(unet, len(tokens)):
            return walk_down(denoise, latents, self._scheduler, timesteps, on_step)

    def _decoded(self, latents: Tensor) -> np.ndarray:
        return pixels.decode(self.parts.vae, latents[0], batch=8)
