"""Sampling a clip of VideoCrafter: DDIM (arXiv 2010.02502) over a video whose scale changes with the timestep.

Pure functions over tensors. Knows nothing of networks, text or pictures.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from models.streaming_t2v.sampler import OnStep, ignore
from models.videocrafter.schedule import ScaledSchedule

Denoise = Callable[[Tensor, int], Tensor]  # (x_t [B, C, F, H, W], t) -> the prediction, guidance applied


def timesteps(steps: int, trained: int = 1000) -> list[int]:
    """Where the network is asked, from the noisiest on: 1, 1 + k, 1 + 2k, … with k = trained // steps, backwards.

    As published: where `steps` does not divide `trained` these are more than asked for (30 are 31), the noisiest is
    never the last trained one, and one step alone would be at t = 1. steps: 2 to trained / 2; else `ValueError`.
    """
    if not 2 <= steps <= trained // 2:
        raise ValueError(f"steps is {steps}; it can be 2 to {trained // 2}.")
    return [t + 1 for t in reversed(range(0, trained, trained // steps))]


def sample(
    denoise: Denoise,
    latents: Tensor,
    schedule: ScaledSchedule,
    noise: Callable[[int], Tensor],
    *,
    steps: int,
    eta: float,
    on_step: OnStep = ignore,
) -> Tensor:
    """DDIM, [B, C, F, H, W] of pure noise -> clean latents. Published: 50 steps, eta 1.

    noise: (step) -> Gaussian noise like `latents`, a pure function; not asked where eta is 0. The last step leads to
    t = 0, which has a little noise and a scale of its own.
    """
    visited = [*timesteps(steps, schedule.config.num_train_timesteps), 0]
    count = len(visited) - 1
    for i, (t, then) in enumerate(zip(visited, visited[1:], strict=False)):
        prediction = denoise(latents, t)
        latents = step(schedule, latents, prediction, t, then, eta=eta, noise=noise(i) if eta > 0 else None)
        on_step(i + 1, count)
    return latents


def step(
    schedule: ScaledSchedule, x: Tensor, prediction: Tensor, t: int, then: int, *, eta: float, noise: Tensor | None
) -> Tensor:
    """x_t -> x_t' for t' < t, Eq. 12 of arXiv 2010.02502 with alpha_t = s_t sqrt(abar_t) in place of sqrt(abar_t).

    x_t' = alpha_t' x_0 + sqrt(sigma_t'^2 - d^2) eps + d z,  d = eta sigma_t' / sigma_t sqrt(1 - abar_t / abar_t').
    prediction: what the network says at t, as the schedule reads it. noise: z; None where eta is 0.
    """
    (_, sigma), (alpha_then, sigma_then) = schedule.level(t), schedule.level(then)
    remains = (1 - sigma**2) / (1 - sigma_then**2)
    drawn = eta * sigma_then / sigma * (1 - remains) ** 0.5
    eps = schedule.noise(x, prediction, t)
    moved: Tensor = alpha_then * schedule.clean(x, prediction, t) + (sigma_then**2 - drawn**2) ** 0.5 * eps
    return moved if noise is None else moved + drawn * noise
