"""The refiner: a preview's frames go in, the same video larger and finer comes out, diagonal by diagonal.

SDEdit (arXiv 2108.01073) with a video network: enlarge, encode, noise back to a start level, denoise from
there. Owns the way from pixels to pixels; the networks come from outside, and it knows nothing of files,
jobs or plans beyond the windows of `models.catalog`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models import noise, pixels, units
from models.refinement import blending
from models.refinement.blending import Blend, Node, Span, State
from models.refinement.guidance import guide
from models.refinement.levels import NoiseLevels
from models.refinement.solver import advance, solver_steps, start_scale

STAGE = "refine"  # of the noise
SeedAt = Callable[[int], int]  # frame -> seed
OnStep = Callable[[int, int], None]  # (looks of the network done, of how many); may raise to stop


@dataclass(frozen=True)
class RefinerSettings:
    """How to refine. Defaults are those published with StreamingT2V and MS-Vid2Vid-XL; a model may have its
    own.

    The published command line runs 600 of 1000 noise levels, 30 steps, guidance 7.5 with rescale 0.2, eta 1
    and windows of 24 frames with overlap 8 (112 with 32 in its README's timings). It resizes with PIL's
    bicubic filter and samples the encoder's posterior; the paper says bilinear, and the mean needs no
    random numbers.
    """

    strength: float = 0.6  # share of the noise schedule gone back to
    steps: int = 30
    guidance_scale: float = 7.5
    guidance_rescale: float = 0.2
    window_frames: int = 24
    window_overlap: int = 8
    eta: float = 1.0
    blending: str = "randomized"  # blending.THRESHOLDS
    start: str = "published"  # solver.STARTS; "consistent" for weaker strengths
    resize: str = "bilinear"  # or "bicubic"
    vae_batch: int = 8  # frames that go through the VAE at once

    def noise_levels(self, num_train_timesteps: int) -> int:
        """The start level; at least one more than there are steps, however small the strength."""
        return min(num_train_timesteps, max(self.steps + 1, round(self.strength * num_train_timesteps)))


@dataclass(frozen=True)
class Text:
    """A prompt as the network reads it, from a frame of the video on."""

    cond: torch.Tensor  # [T, D]
    uncond: torch.Tensor  # [T, D], of the negative prompt
    pooled_cond: torch.Tensor | None = None  # [P], where the network has a time_cond_proj_dim
    pooled_uncond: torch.Tensor | None = None
    from_frame: int = 0


class Refiner:
    """One video's refinement. Holds nothing that changes: all progress is in the state that `run` returns.

    Latents rest on the CPU, where they are also blended and moved on from step to step; networks get the window that
    they look at. So what a GPU holds does not grow with the video.

    unet: shaped like diffusers' UNet3DConditionModel, saying what `schedule.config.prediction_type` says
    vae:  shaped like diffusers' AutoencoderKL
    texts: the prompts in force, by `from_frame`; a window follows the one at its middle
    seed: one, or the seed in force at each frame
    first_frame: number of its first frame in the noise of the video, where it refines a piece of one
    """

    def __init__(
        self,
        unet: Any,
        vae: Any,
        schedule: NoiseLevels,
        texts: Sequence[Text],
        *,
        num_frames: int,
        height: int,
        width: int,
        seed: int | SeedAt,
        first_frame: int = 0,
        settings: RefinerSettings | None = None,
    ):
        self.settings = settings or RefinerSettings()
        self.windows = units.windows(num_frames, self.settings.window_frames, self.settings.window_overlap)
        self._unet, self._vae, self._schedule = unet, vae, schedule
        self._seed_at: SeedAt = seed if callable(seed) else lambda frame: seed
        self._size, self._first = (height, width), first_frame
        self._texts = sorted(texts, key=lambda text: text.from_frame)
        self._levels = self.settings.noise_levels(schedule.config.num_train_timesteps)
        self._steps = solver_steps(
            schedule, noise_levels=self._levels, steps=self.settings.steps, eta=self.settings.eta
        )
        self._scale = start_scale(schedule, self._levels, self.settings.start)

    @property
    def diagonals(self) -> int:
        """How many times `run` is called for the whole video."""
        return blending.diagonals(len(self.windows), len(self._steps))

    def enters(self, j: int) -> Span:
        """Frames that diagonal j takes in: those that window j adds to the windows before it."""
        if j >= len(self.windows):
            return self.windows[-1][1], self.windows[-1][1]
        return (self.windows[j - 1][1] if j else 0), self.windows[j][1]

    def leaves(self, j: int) -> Span:
        """Frames that diagonal j finishes: those of its last window that no later window shares."""
        i = j - len(self._steps) + 1
        if i < 0:
            return 0, 0
        return self.windows[i][0], self.windows[i + 1][0] if i + 1 < len(self.windows) else self.windows[i][1]

    @torch.no_grad()
    def run(
        self, j: int, new_frames: np.ndarray, state: State | None = None, on_step: OnStep | None = None
    ) -> tuple[np.ndarray, State]:
        """One diagonal of the wavefront.

        Takes frames `enters(j)` of the preview, uint8 [F, h, w, 3], and the state that diagonal j - 1 left.
        Returns frames `leaves(j)`, uint8 [F, H, W, 3], and the state for diagonal j + 1: CPU tensors, which
        any process may continue from with the same bits. The given state stays as it was, also if `on_step`
        raises.
        """
        if (state is None) != (j == 0):
            raise ValueError("Diagonal 0 starts without a state, every later one from that of the one before.")
        blend = self._blend(state)
        self._admit(blend, j, new_frames)
        _visit(blend, blending.diagonal(j, len(self.windows), len(self._steps)), on_step)
        return self._decoded(blend.release()), blend.state

    @torch.no_grad()
    def refine(self, frames: np.ndarray, on_step: OnStep | None = None) -> np.ndarray:
        """The whole video at once, in the paper's order: the same bits as diagonal by diagonal."""
        blend = self._blend(None)
        for j in range(len(self.windows)):
            self._admit(blend, j, frames[slice(*self.enters(j))])
        _visit(blend, list(blending.lockstep(len(self.windows), len(self._steps))), on_step)
        done = blend.release()
        return np.concatenate([self._decoded(done[:, slice(*self.leaves(j))]) for j in range(self.diagonals)])

    def _blend(self, state: State | None) -> Blend:
        overlap, kind = self.settings.window_overlap, self.settings.blending
        return Blend(
            self.windows,
            len(self._steps),
            denoise=self._denoise,
            advance=self._advance,
            threshold=lambda i, step: blending.threshold(self._seed_at(self.windows[i + 1][0]), i, step, overlap, kind),
            state=state,
        )

    def _admit(self, blend: Blend, j: int, frames: np.ndarray) -> None:  # uint8 [F, h, w, 3]
        """Bring frames of the preview to the start level, as latents."""
        first, stop = span = self.enters(j)
        if len(frames) != stop - first:
            raise ValueError(f"Diagonal {j} takes frames {first} to {stop}, not {len(frames)} of them.")
        if first < stop:
            how = self.settings
            x0 = pixels.encode(self._vae, frames, size=self._size, resize=how.resize, batch=how.vae_batch).cpu()
            x = self._schedule.diffuse(x0, self._noise(x0, span, noise.INITIAL), self._levels - 1)
            blend.admit(self._scale * x)

    def _decoded(self, latents: torch.Tensor) -> np.ndarray:  # [C, F, H, W] -> uint8 [F, H, W, 3]
        if not latents.shape[1]:
            return np.empty((0, *self._size, 3), dtype=np.uint8)
        return pixels.decode(self._vae, latents, batch=self.settings.vae_batch)

    def _denoise(self, x: torch.Tensor, node: Node) -> torch.Tensor:  # [C, F, H, W]
        """x0 of one window, as the network sees it under guidance."""
        timestep = self._steps[node.step].timestep
        text = self._text(node.window)
        guided = self.settings.guidance_scale != 1
        prediction = self._predict(x, timestep, text, guided)
        if guided:
            scale, rescale = self.settings.guidance_scale, self.settings.guidance_rescale
            prediction = guide(prediction[1:], prediction[:1], scale=scale, rescale=rescale)
        return self._schedule.clean(x, prediction[0], timestep)

    def _predict(self, x: torch.Tensor, timestep: int, text: Text, guided: bool) -> torch.Tensor:
        """What the network says: [unconditional, conditional] in one batch, or the conditional alone."""

        def branches(uncond: torch.Tensor | None, cond: torch.Tensor | None) -> torch.Tensor:
            both = [uncond, cond] if guided else [cond]
            return torch.stack(both).to(device=self._unet.device, dtype=self._unet.dtype)  # type: ignore[arg-type]

        pooled = {}
        if self._unet.config.time_cond_proj_dim is not None:
            pooled["timestep_cond"] = branches(text.pooled_uncond, text.pooled_cond)
        said = self._unet(
            branches(x, x),
            torch.tensor(timestep, device=self._unet.device),
            encoder_hidden_states=branches(text.uncond, text.cond),
            **pooled,
        )
        return said.sample.float().cpu()

    def _advance(self, step: int, span: Span, x: torch.Tensor, x0: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
        z = self._noise(x, span, step) if self._steps[step].spread else None
        return advance(self._steps[step], x, x0, history, z)

    def _noise(self, like: torch.Tensor, span: Span, step: int) -> torch.Tensor:  # [C, F, H, W]
        shape = (like.shape[0], *like.shape[2:])
        frames = range(self._first + span[0], self._first + span[1])
        return noise.per_frame(shape, seed=self._seed_at, stage=STAGE, frames=frames, step=step).to(like)

    def _text(self, window: int) -> Text:
        middle = sum(self.windows[window]) // 2
        return next((text for text in reversed(self._texts) if text.from_frame <= middle), self._texts[0])


def _visit(blend: Blend, nodes: Sequence[Node], on_step: OnStep | None) -> None:
    for done, node in enumerate(nodes, start=1):
        blend.visit(node)
        if on_step is not None:
            on_step(done, len(nodes))
