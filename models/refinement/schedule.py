"""The noise schedule of the video refiner, MS-Vid2Vid-XL: how much noise each timestep stands for.

Owns the table of sigmas and the timesteps a refinement visits; variance preserving throughout,
x_t = alpha_t x_0 + sigma_t eps with alpha^2 + sigma^2 = 1. Knows nothing of solvers, networks or windows.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config


class LogSNRCosineSchedule(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Log-SNR cosine, interpolated between two shifts, with zero terminal SNR.

    With u running from 0 (clean, t = 0) to 1 (t = T - 1), the cosine schedule of Simple Diffusion
    (arXiv 2301.11093) between logsnr_max and logsnr_min,

        logSNR(u) = -2 log tan(a + u (b - a)),  tan a = exp(-logsnr_max / 2),  tan b = exp(-logsnr_min / 2)

    is shifted by -2 log(scale), where log(scale) glides from that of `scale_min` at the clean end to that
    of `scale_max` at the noisy one; sigma^2 = sigmoid(-logSNR). The sigmas are then stretched so that the
    last is 1, pure noise (arXiv 2305.08891). Defaults are those published with MS-Vid2Vid-XL.
    """

    config_name = "scheduler_config.json"
    config: Any

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        logsnr_min: float = -15.0,
        logsnr_max: float = 15.0,
        scale_min: float = 2.0,
        scale_max: float = 4.0,
        zero_terminal_snr: bool = True,
        prediction_type: str = "v_prediction",
    ):
        if prediction_type not in ("v_prediction", "epsilon"):
            raise ValueError(f"prediction_type is '{prediction_type}'; it can be 'v_prediction' or 'epsilon'.")
        clean = torch.linspace(1, 0, num_train_timesteps)
        logsnr = _cosine(clean, logsnr_min, logsnr_max)
        logsnr = logsnr - 2 * (clean * math.log(scale_min) + (1 - clean) * math.log(scale_max))
        self.sigmas = torch.sigmoid(-logsnr).sqrt()  # [T]
        if zero_terminal_snr:
            self.sigmas = _stretch_to_one(self.sigmas)
        self.alphas = (1 - self.sigmas**2).sqrt()  # [T]

    def timesteps(self, noise_levels: int, steps: int) -> list[float]:
        """Where the solver evaluates: `steps` timesteps down from `noise_levels` - 1, not all of them
        whole.

        "Trailing" spacing for one step more, whose last timestep is then discarded: the solver goes from
        the last but one straight to the clean video. 600 levels and 30 steps give 599, 579.65, ..., 37.71.
        """
        if not 2 <= noise_levels <= self.config.num_train_timesteps:
            raise ValueError(f"noise_levels is {noise_levels}; allowed is 2 to {self.config.num_train_timesteps}.")
        if not 1 <= steps < noise_levels:
            raise ValueError(f"steps is {steps}; {noise_levels} noise levels allow 1 to {noise_levels - 1}.")
        if self.config.prediction_type == "epsilon" and not self.alphas[noise_levels - 1]:
            raise ValueError("A network that predicts epsilon cannot start at pure noise; take fewer noise_levels.")
        return [noise_levels - 1 - k * noise_levels / (steps + 1) for k in range(steps)]

    def half_logsnr(self, timestep: float) -> float:
        """lambda(t) = log(alpha_t / sigma_t), linear between whole timesteps; -inf at pure noise."""
        low, high = math.floor(timestep), math.ceil(timestep)
        part = timestep - low
        ends = [math.log(alpha / sigma) if alpha else -math.inf for alpha, sigma in map(self.level, (low, high))]
        return (1 - part) * ends[0] + part * ends[1] if part else ends[0]

    def level(self, timestep: int) -> tuple[float, float]:
        """(alpha_t, sigma_t) of a whole timestep."""
        return float(self.alphas[timestep]), float(self.sigmas[timestep])

    def diffuse(self, x0: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor | int) -> torch.Tensor:
        """x_t = alpha_t x_0 + sigma_t eps. `timesteps` is one number, or one for each of the batch."""
        alpha, sigma = self._levels(timesteps, x0)
        return alpha * x0 + sigma * noise

    def target(self, x0: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor | int) -> torch.Tensor:
        """What the network learns to say: v = alpha_t eps - sigma_t x_0, or eps."""
        if self.config.prediction_type == "epsilon":
            return noise
        alpha, sigma = self._levels(timesteps, x0)
        return alpha * noise - sigma * x0

    def clean(self, x: torch.Tensor, prediction: torch.Tensor, timestep: int) -> torch.Tensor:
        """x_0 from x_t and what the network said of it."""
        alpha, sigma = self.level(timestep)
        if self.config.prediction_type == "epsilon":
            return (x - sigma * prediction) / alpha
        return alpha * x - sigma * prediction

    def _levels(self, timesteps: torch.Tensor | int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at = torch.as_tensor(timesteps).cpu().long()
        shape = (*at.shape, *[1] * (like.ndim - at.ndim)) if at.ndim else ()
        return self.alphas[at].view(shape).to(like), self.sigmas[at].view(shape).to(like)


def _cosine(clean: torch.Tensor, logsnr_min: float, logsnr_max: float) -> torch.Tensor:
    noisy_end, clean_end = (math.atan(math.exp(-0.5 * logsnr)) for logsnr in (logsnr_min, logsnr_max))
    return -2 * torch.log(torch.tan(noisy_end + clean * (clean_end - noisy_end)))


def _stretch_to_one(sigmas: torch.Tensor) -> torch.Tensor:
    """Zero terminal SNR: the last sigma becomes 1, the first one stays."""
    first, last = sigmas[0], sigmas[-1]
    stretched = first + (1 - first) / (last - first) * (sigmas - first)
    return stretched.clamp(max=1.0)
