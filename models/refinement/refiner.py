"""The refiner: a preview's frames go in, the same video larger and finer comes out, tile by tile.

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
from models.streaming_t2v.unet import StreamingUNet3D
from models.tiles import Tile, Tiling
from models.turbo import Turbo

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
    bands: int = 1  # `models.tiles`: changes who can do what when, and no frame
    start: str = "published"  # solver.STARTS; "consistent" for weaker strengths
    resize: str = "bilinear"  # or "bicubic"
    vae_batch: int = 8  # frames that go through the VAE at once
    turbo: Turbo = Turbo()  # when there is guidance, which is always

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
        self.tiling = Tiling(len(self.windows), len(self._steps), self.settings.bands)
        self._scale = start_scale(schedule, self._levels, self.settings.start)

    def enters(self, tile: Tile) -> Span:
        """Frames of the preview that a tile takes in: those that its window adds to the windows before it."""
        i = self.tiling.enters(tile)
        if i is None:
            return 0, 0
        return (self.windows[i - 1][1] if i else 0), self.windows[i][1]

    def leaves(self, tile: Tile) -> Span:
        """Frames that a tile finishes, as far as its band goes: those of a window that no later window shares."""
        i = self.tiling.leaves(tile)
        if i is None:
            return 0, 0
        return self.windows[i][0], self.windows[i + 1][0] if i + 1 < len(self.windows) else self.windows[i][1]

    @torch.no_grad()
    def run(
        self,
        tile: Tile,
        new_frames: np.ndarray,
        state: State | None = None,
        feeds: Sequence[State] = (),
        on_step: OnStep | None = None,
    ) -> tuple[np.ndarray, State]:
        """One tile of the wavefront.

        Takes frames `enters(tile)` of the preview, uint8 [F, h, w, 3], the state that the tile before it in its band
        left, and those that the tiles it takes frames from left (`tiling.feeds`), in their order. Returns the frames
        that it has refined, uint8 [F, H, W, 3] (none but of the last band, `leaves(tile)`), and the state that it
        leaves: CPU tensors, which any process may continue from with the same bits. The given states stay as they
        were, also if `on_step` raises.
        """
        self._check(tile, state, feeds)
        steps = self.tiling.steps_of(tile.band)
        blend = self._blend(steps, state)
        self._admit(blend, tile, new_frames)
        for given in feeds:
            if given["released.x"].shape[1]:
                blend.admit(given["released.x"], given["released.history"])
        _visit(blend, blending.diagonal(tile.diagonal, len(self.windows), steps), on_step)
        done = blend.release()
        if self.tiling.is_last(tile):
            return self._decoded(done.x), blend.state
        handed = {f"released.{name}": tensor.contiguous() for name, tensor in done._asdict().items()}
        return self._decoded(done.x[:, :0]), {**blend.state, **handed}

    def _check(self, tile: Tile, state: State | None, feeds: Sequence[State]) -> None:
        if (state is None) != (self.tiling.before(tile) is None):
            raise ValueError("The first tile of a band starts without a state, every later one from that before it.")
        if len(feeds) != (wanted := len(self.tiling.feeds(tile))):
            raise ValueError(f"{tile} takes frames from {wanted} tiles, not {len(feeds)}.")

    @torch.no_grad()
    def refine(self, frames: np.ndarray, on_step: OnStep | None = None) -> np.ndarray:
        """The whole video at once, in the paper's order: the same bits as tile by tile."""
        blend = self._blend(range(len(self._steps)), None)
        whole = Tiling(len(self.windows), len(self._steps)).tiles
        for tile in whole[: len(self.windows)]:
            self._admit(blend, tile, frames[slice(*self.enters(tile))])
        _visit(blend, list(blending.lockstep(len(self.windows), len(self._steps))), on_step)
        done, stops = blend.release().x, [start for start, _ in self.windows[1:]]
        pieces = np.split(np.arange(done.shape[1]), stops)  # decoded as the wavefront does, window by window
        return np.concatenate([self._decoded(done[:, piece]) for piece in pieces])

    def _blend(self, steps: range, state: State | None) -> Blend:
        overlap, kind = self.settings.window_overlap, self.settings.blending
        return Blend(
            self.windows,
            steps,
            denoise=self._denoise,
            advance=self._advance,
            threshold=lambda i, step: blending.threshold(self._seed_at(self.windows[i + 1][0]), i, step, overlap, kind),
            state=state,
        )

    def _admit(self, blend: Blend, tile: Tile, frames: np.ndarray) -> None:  # uint8 [F, h, w, 3]
        """Bring frames of the preview to the start level, as latents."""
        first, stop = span = self.enters(tile)
        if len(frames) != stop - first:
            raise ValueError(f"{tile} takes frames {first} to {stop}, not {len(frames)} of them.")
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
        guided = self.settings.guidance_scale != 1 and self.settings.turbo.is_guided(node.step, len(self._steps))
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
        once = isinstance(self._unet, StreamingUNet3D)  # the branches look at the same latents
        said = self._unet(
            x[None].to(self._unet.device, self._unet.dtype) if once else branches(x, x),
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
