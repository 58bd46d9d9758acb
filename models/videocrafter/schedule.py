"""ScaledSchedule: how much noise, and how much of the video, each timestep of VideoCrafter stands for.

Owns the two tables; how one goes down them, `models.videocrafter.sampler` knows.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from models.refinement.levels import NoiseLevels, check_prediction


class ScaledSchedule(NoiseLevels, SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """DDPM's noise (arXiv 2006.11239) over a video that grows faint: not variance preserving, alone among ours.

        x_t = alpha_t x_0 + sigma_t eps,  sigma_t^2 = 1 - abar_t,  alpha_t = s_t sqrt(abar_t)

    abar_t is the product of 1 - beta up to t; the square roots of beta rise evenly. s_t falls evenly from 1 to
    `scale_end` over the first `scale_steps` timesteps, and stays there. Published with scale_end 0.7, or 0.3 for 1024
    pixels, or 1 (the first text-to-video network of 512 pixels). The paper (arXiv 2310.19512) has no s_t.

    prediction_type: what the network says, 'epsilon' as published, or 'v_prediction', v = alpha_t eps - sigma_t x_0, of
    which x_0 and eps can be told where next to nothing is left of the video.
    """

    config_name = "scheduler_config.json"
    config: Any

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        scale_end: float = 0.7,
        scale_steps: int = 400,
        prediction_type: str = "epsilon",
    ):
        check_prediction(prediction_type)
        roots = torch.linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps, dtype=torch.float64)
        abar = (1 - roots**2).cumprod(0)
        falling = torch.linspace(1, scale_end, scale_steps, dtype=torch.float64)[:num_train_timesteps]
        staying = torch.full((num_train_timesteps - len(falling),), scale_end, dtype=torch.float64)
        self.scales = torch.cat([falling, staying])  # [T], s_t
        self.sigmas = (1 - abar).sqrt()  # [T]
        self.alphas = self.scales * abar.sqrt()  # [T]

    def clean(self, x: Tensor, prediction: Tensor, timestep: int) -> Tensor:
        """x_0 from x_t and the prediction. The levels' squares do not add up to 1, so a velocity is divided by them."""
        if self.config.prediction_type == "epsilon":
            return super().clean(x, prediction, timestep)
        alpha, sigma = self.level(timestep)
        return (alpha * x - sigma * prediction) / (alpha**2 + sigma**2)

    def noise(self, x: Tensor, prediction: Tensor, timestep: int) -> Tensor:
        """eps from x_t and the prediction."""
        if self.config.prediction_type == "epsilon":
            return prediction
        alpha, sigma = self.level(timestep)
        return (sigma * x + alpha * prediction) / (alpha**2 + sigma**2)
