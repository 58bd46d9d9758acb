"""The refiner's schedule, solver, guidance and blending give the numbers of the published implementation.

The data records the published code's run in lockstep with a formula for a network; here the product's own
walks over the graph are fed the recorded draws. Sizes, seeds and lengths all come from the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from safetensors import safe_open

from models import units
from models.refinement import blending
from models.refinement.guidance import guide
from models.refinement.schedule import LogSNRCosineSchedule
from models.refinement.solver import advance, solver_steps, start_scale
from tests.parity.weights import parity_file

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4


class Recording(NamedTuple):
    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def recording() -> Recording:
    with safe_open(parity_file("refine_blend.safetensors"), "pt") as file:
        config = json.loads(file.metadata()["config"])
        return Recording(config, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


@pytest.fixture(scope="module")
def schedule(recording) -> LogSNRCosineSchedule:
    return LogSNRCosineSchedule(num_train_timesteps=len(recording.tensors["expected.sigmas"]))


def formula(x: torch.Tensor, timestep: int, matrix: torch.Tensor, y: float) -> torch.Tensor:
    """The recorded run's stand-in for a network, [1, C, F, H, W] -> v."""
    frames = torch.arange(x.shape[2], dtype=x.dtype).view(1, 1, -1, 1, 1)
    mixed = torch.einsum("oc,bcfhw->bofhw", matrix, x)
    return torch.tanh(mixed) + 0.1 * torch.sin(frames) + timestep / 1000 + y


def blend(recording: Recording, schedule: LogSNRCosineSchedule) -> blending.Blend:
    """The product's walker over the recorded video, fed the recorded draws."""
    config, data = recording
    steps = solver_steps(schedule, noise_levels=config["start_timestep"] + 1, steps=config["steps"])

    def denoise(x: torch.Tensor, node: blending.Node) -> torch.Tensor:
        t = steps[node.step].timestep
        cond, uncond = (formula(x[None], t, data["matrix"], config[y]) for y in ("y_cond", "y_uncond"))
        v = guide(cond, uncond, scale=config["guidance_scale"], rescale=config["guidance_rescale"])
        return schedule.clean(x, v[0], t)

    def move(s, span, x, x0, history):
        noise = data["solver_noise"][s, 0][:, slice(*span)] if s < len(data["solver_noise"]) else None
        return advance(steps[s], x, x0, history, noise)

    return blending.Blend(
        units.windows(config["num_frames"], config["chunk"], config["overlap"]),
        range(config["steps"]),
        denoise=denoise,
        advance=move,
        threshold=lambda boundary, step: int(data["blend_offsets"][step, boundary]),
    )


def start(recording: Recording, schedule: LogSNRCosineSchedule) -> torch.Tensor:
    config, data = recording
    x = schedule.diffuse(data["x0"], data["noise"], config["start_timestep"])
    return start_scale(schedule, config["start_timestep"] + 1) * x[0]


def wavefront_and_released(blended: blending.Blend, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Frames enter and leave diagonal by diagonal, as in the service."""
    windows, known = len(blended.spans), 0
    for j in range(windows + len(blended.steps) - 1):
        stop = blended.spans[min(j, windows - 1)][1]
        if stop > known:
            blended.admit(x[:, known:stop])
        known = stop
        blended.walk(blending.diagonal(j, windows, blended.steps))
        yield blended.release().x


def test_the_schedule_is_the_published_one(recording, schedule):
    sigmas = recording.tensors["expected.sigmas"]
    error = (schedule.sigmas - sigmas).abs().max().item()
    print(f"\nsigmas: largest error {error:.2e}")
    assert error < 1e-6
    assert schedule.sigmas[-1] == 1


def test_the_start_is_the_published_one(recording, schedule):
    config, data = recording
    x = schedule.diffuse(data["x0"], data["noise"], config["start_timestep"])
    error = (x - data["expected.x_start"]).abs().max().item()
    print(f"\nx_start: largest error {error:.2e}")
    assert error < 1e-5


def test_lockstep_reproduces_the_published_refinement(recording, schedule):
    blended = blend(recording, schedule)
    blended.admit(start(recording, schedule))
    blended.walk(blending.lockstep(len(blended.spans), len(blended.steps)))
    assert_refined(blended.release().x, recording)


def test_wavefront_reproduces_the_published_refinement(recording, schedule):
    blended = blend(recording, schedule)
    refined = torch.cat(list(wavefront_and_released(blended, start(recording, schedule))), dim=1)
    assert_refined(refined, recording)


def assert_refined(refined: torch.Tensor, recording: Recording) -> None:
    expected = recording.tensors["expected.refined"][0]
    assert refined.shape == expected.shape
    error = (refined - expected).abs().max().item()
    print(f"\nrefined: largest error {error:.2e} of values up to {expected.abs().max():.2f}")
    assert math.isfinite(error) and error < TOLERANCE
