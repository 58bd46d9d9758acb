"""What a video network is taught: the denoising loss, in the form that the checkpoint's schedule asks for.

Knows nothing of what the network is shown besides.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

if TYPE_CHECKING:  # the loop is without diffusers, and each of its processes starts sooner
    from models.streaming_t2v.text import EncodedText


def denoising_loss(
    network: Any,
    scheduler: Any,
    latents: Tensor,
    text: EncodedText,
    *,
    noisier_half: float,
    frame_weights: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """MSE of the noise or the velocity; latents [B, C, F, h, w], frame_weights [F]: how much each frame counts.

    Timesteps are uniform, but for a share of the batch that gets them from the noisier half.
    """
    noise = torch.randn_like(latents)
    steps, count = scheduler.config.num_train_timesteps, latents.shape[0]
    t = torch.randint(0, steps, (count,))
    noisier = int(count * noisier_half)
    t[:noisier] = torch.randint(steps // 2, steps, (noisier,))
    t = t.to(latents.device)
    made = network(scheduler.add_noise(latents, noise, t), t, text.tokens, timestep_cond=text.pooled, **options).sample
    errors = (made.float() - target(scheduler, latents, noise, t)).square().mean((0, 1, 3, 4))  # [F]
    weights = torch.ones_like(errors) if frame_weights is None else frame_weights
    return (errors * weights).sum() / weights.sum()


def target(scheduler: Any, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What a network of that schedule predicts."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        velocity: Tensor = scheduler.get_velocity(latents, noise, t)
        return velocity
    raise ValueError(f"Networks that predict '{kind}' cannot be trained here.")


def attention(device: torch.device) -> AbstractContextManager[Any]:
    """On a CPU torch's fused attention took 40 % of a step on sequences this short; a GPU chooses for itself."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def without_dropout(module: nn.Module) -> nn.Module:
    """diffusers' temporal convolutions drop a tenth of their features in training; small networks lack the room."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module
