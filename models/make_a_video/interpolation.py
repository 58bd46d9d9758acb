"""↑F, masked frame interpolation: frames between known frames, before the first and after the last of them.

Source: Make-A-Video (arXiv 2209.14792) section 3.3. The network is a `SpaceTimeUNet` with four planes beside its noisy
frames: the known frames (zero elsewhere) and the mask that says which they are. Owns windows, planes and the loop; what
the frames are, pixels or latents, is the caller's. A network that draws differences sees the known frames blended where
the paper has zeros: neighbours hardly differ, and what is at rest then stays at rest.

The paper fills 16 frames at a skip of 5 into 76 and does not say how. Here a window holds as many known frames as fit
into 16, and shares its last one with the next window: neighbours meet in a frame that is given, so there is no seam
to blend, any length streams with the memory of one window, and a window can be made again alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models import noise
from models.make_a_video.guidance import guided
from models.make_a_video.network import SpaceTimeUNet
from models.streaming_t2v.sampler import OnStep, ignore, sample_chunk

PLANES = 4  # of frames with three channels: red, green, blue, and the mask
WINDOW = 16  # frames that Dᵗ, and so ↑F, was trained with


@dataclass(frozen=True, slots=True)
class Window:
    """Frames `first` to `last`, both included, of the longer video. known: those given, counted from its start."""

    first: int
    last: int
    known: tuple[int, ...]

    @property
    def frames(self) -> int:
        return self.last - self.first + 1


def windows(given: int, factor: int, size: int = WINDOW) -> list[Window]:
    """How `given` frames become (given - 1) · factor + 1. A window begins with the frame that the last one ended with.

    factor: how many frames there are for one, 2 to size - 1. Raises ValueError outside, and for less than two frames.
    """
    if given < 2 or not 2 <= factor < size:
        raise ValueError(f"{given} frames by {factor}: two or more frames by 2 to {size - 1} are possible.")
    spans = (size - 1) // factor
    made = []
    for start in range(0, given - 1, spans):
        stop = min(start + spans, given - 1)
        made.append(Window(start * factor, stop * factor, tuple(range(0, (stop - start) * factor + 1, factor))))
    return made


def planes(known: Tensor, at: Sequence[int], frames: int) -> Tensor:
    """What is laid beside the noisy frames: known frames [B, C, K, H, W] at their places, and a mask that is 1 there.

    -> [B, C + 1, F, H, W]. Only the first frame known animates a picture; only the last ones, it goes back in time.
    """
    batch, channels, _, height, width = known.shape
    laid = known.new_zeros(batch, channels + 1, frames, height, width)
    laid[:, :channels, list(at)] = known
    laid[:, channels, list(at)] = 1
    return laid


def blended(known: Tensor, at: Sequence[int], frames: int) -> Tensor:
    """What known frames [B, C, K, H, W] alone let one expect, [B, C, F, H, W]: a line from each to the next.

    Before the first and after the last one, those.
    """
    made, last = [], len(at) - 1
    for frame in range(frames):
        after = next((k for k, place in enumerate(at) if place >= frame), last)
        before = max(after - 1, 0) if at[after] > frame else after
        share = (frame - at[before]) / max(1, at[after] - at[before])
        made.append(torch.lerp(known[:, :, before], known[:, :, after], min(max(share, 0.0), 1.0)))
    return torch.stack(made, dim=2)


@dataclass(frozen=True, slots=True)
class Filling:
    """How frames are filled in: the sampler's steps, and guidance by the condition (1: none)."""

    steps: int = 25
    guidance_scale: float = 1.0
    eta: float = 0.0


def nothing(network: SpaceTimeUNet) -> Tensor | None:
    """What a network that draws from an embedding is given where there is none, [1, D]; None for any other."""
    config = network.image.config
    if config.encoder_hid_dim_type != "image_proj":
        return None
    return torch.zeros(1, config.encoder_hid_dim, device=network.device)


@torch.no_grad()
def fill(
    network: SpaceTimeUNet,
    scheduler: Any,
    known: Tensor,
    window: Window,
    how: Filling,
    *,
    seed: int,
    condition: Tensor | None = None,
    null: Tensor | None = None,
    fps: float | None = None,
    on_step: OnStep = ignore,
) -> Tensor:
    """One window, [1, C, K, H, W] known frames -> [1, C, F, H, W]; the known ones come back as they were given.

    scheduler: a diffusers DDIMScheduler. condition, null: what the network draws from, with and without (None: it draws
    from the frames alone). fps: of the frames to be made. The noise of a frame is a function of seed and frame alone.
    """
    scheduler.set_timesteps(how.steps)
    _, channels, _, height, width = known.shape
    span = range(window.first, window.last + 1)

    def drawn(step: int) -> Tensor:
        draw = noise.per_frame((channels, height, width), seed=seed, stage="interpolate", frames=span, step=step)
        return draw[None].to(known)

    expected = blended(known, window.known, window.frames)
    beside = planes(known, window.known, window.frames)
    if network.config.difference:
        beside[:, :channels] = expected
    rate = None if fps is None else torch.tensor([fps], device=known.device)

    def denoise(frames: Tensor, t: Tensor) -> Tensor:
        def look(given: Tensor | None) -> Tensor:
            prediction: Tensor = network(frames, t, given, fps=rate, beside=beside).sample
            return prediction

        return guided(look, condition, null, how.guidance_scale)

    frames = sample_chunk(denoise, drawn(noise.INITIAL), scheduler, drawn, eta=how.eta, on_step=on_step)
    if network.config.difference:
        frames = expected + frames / network.config.difference
    frames[:, :, list(window.known)] = known
    return frames


def interpolated(
    network: SpaceTimeUNet, scheduler: Any, frames: Tensor, factor: int, how: Filling, *, seed: int, **options: Any
) -> Iterator[Tensor]:
    """[1, C, K, H, W] -> (K - 1) · factor + 1 frames in pieces [1, C, F, H, W], window by window, none twice.

    options: as `fill` takes them.
    """
    for window in windows(frames.shape[2], factor):
        first = window.first // factor
        known = frames[:, :, first : first + len(window.known)]
        made = fill(network, scheduler, known, window, how, seed=seed, **options)
        yield made if window.first == 0 else made[:, :, 1:]
