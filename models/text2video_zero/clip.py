"""A video drawn along given frames, chunk by chunk: the loop that control and editing share.

Source: Text2Video-Zero (arXiv 2303.13439), "Conditional and specialized text-to-video" and "Video Instruct-Pix2Pix".
There T' = T: nothing is moved in latent space, as the motion comes from the given frames. Knows nothing of what
they show or of how the network is shown them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise, pixels
from models.streaming_t2v import text
from models.streaming_t2v.sampler import OnStep
from models.text2video_zero.attention import looking_at_the_first_frame
from models.text2video_zero.chunks import chunks, counted, how_many
from models.text2video_zero.denoiser import Guide, denoiser
from models.text2video_zero.parts import ddim
from models.text2video_zero.sampler import walk_down

STAGE = "text2video-zero-clip"  # of the noise

#: uint8 [K, H, W, 3], the frames given -> a network of pictures that is shown them, called with branches * K pictures
Showing = Callable[[np.ndarray], Any]


@dataclass(frozen=True, slots=True)
class Follower:
    """Draws a frame for each given one; every chunk looks at the first frame.

    All frames start from the same noise, so that what the given frames do not say is the same in all of them. Published
    does so for control, while editing draws other noise for every frame, which flickers.

    parts: `parts.load`'s. show: how the network is shown the given frames. prompts: one for each branch of `guide`.
    looking: the networks that get cross-frame attention.
    """

    parts: Any
    show: Showing
    prompts: Sequence[str]
    guide: Guide
    looking: Sequence[Any]
    steps: int
    chunk_frames: int
    seed: int

    def follow(self, given: np.ndarray, on_step: OnStep) -> Iterator[np.ndarray]:  # uint8 [F, H, W, 3]
        """The video, uint8 [F, H, W, 3] chunk by chunk.

        given: a part at a time is read of it, so that it may lie in a file (`numpy.memmap`). Raises ValueError for
        frames of another kind or of a size that no latents have.
        """
        _check(given, self._factor)
        return self._chunks(given, counted(on_step, how_many(len(given), self.chunk_frames) * self.steps))

    @torch.no_grad()
    def chunk(self, given: np.ndarray, on_step: OnStep) -> np.ndarray:  # uint8 [F, H, W, 3]
        """As many frames, drawn along those given, of which the first is the first of the whole clip."""
        encoder = self.parts.text_encoder
        length = encoder.config.max_position_embeddings
        tokens = text.encode(self.parts.tokenizer, encoder, list(self.prompts), length).tokens
        return pixels.decode(self.parts.vae, self._drawn(given, tokens, on_step)[0], batch=8)

    def _chunks(self, given: np.ndarray, on_step: OnStep) -> Iterator[np.ndarray]:
        for span in chunks(len(given), self.chunk_frames):
            yield self.chunk(_with_first(given, span), on_step)[-len(span) :]

    def _drawn(self, frames: np.ndarray, tokens: Tensor, on_step: OnStep) -> Tensor:
        """The latents of frames drawn together, [1, C, F, h, w]; the first of them is the first of all."""
        scheduler = ddim(self.parts.scheduler, self.steps)
        denoise = denoiser(self.show(frames), tokens, self.guide)
        start = self._start(frames).to(tokens.device)
        with ExitStack() as stack:
            for network in self.looking:
                stack.enter_context(looking_at_the_first_frame(network, len(tokens)))
            return walk_down(denoise, start, scheduler, scheduler.timesteps.tolist(), on_step)

    def _start(self, frames: np.ndarray) -> Tensor:
        """The same noise for every frame, [1, C, F, h, w]."""
        height, width = frames.shape[1:3]
        shape = (self.parts.vae.config.latent_channels, height // self._factor, width // self._factor)
        one = noise.gaussian(shape, seed=self.seed, stage=STAGE, index=0)
        return one[None, :, None].expand(-1, -1, len(frames), -1, -1)

    @property
    def _factor(self) -> int:
        return int(2 ** (len(self.parts.vae.config.block_out_channels) - 1))


def _with_first(given: np.ndarray, span: range) -> np.ndarray:
    chunk = given[span.start : span.stop]
    return np.array(chunk) if span.start == 0 else np.concatenate([given[:1], chunk])


def _check(given: np.ndarray, factor: int) -> None:
    if given.dtype != np.uint8 or given.ndim != 4 or given.shape[3] != 3 or not len(given):
        raise ValueError(f"Frames are uint8 [F, H, W, 3], at least one of them, not {given.dtype} {list(given.shape)}.")
    height, width = given.shape[1:3]
    if height % factor or width % factor or not height or not width:
        raise ValueError(f"The frames are {width}x{height}; both sides must be multiples of {factor}.")
