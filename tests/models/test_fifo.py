"""FIFO-Diffusion's queue: every frame takes the steps that it would take alone, and what waits never grows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from models import catalog, state, systems
from models.recipe import Recipe
from models.request import default_request
from models.streamers.fifo import Levels

MODEL = catalog.TINY_SHAPES.composed(streamer=systems.FIFO)
PROMPT, OTHER = "a red circle moving right on a black background", "a blue star moving up on a navy background"


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_with_a_perfect_network_every_frame_comes_out_as_it_went_in(kind):
    levels, clear = Levels(DDIMScheduler(prediction_type=kind), 16), drawn(4, 1, 2, 2)
    queue = levels.noised(clear.expand(-1, 16, -1, -1), drawn(4, 16, 2, 2, seed=1))
    for _ in range(16):
        velocity = (levels._signal * queue - clear) / levels._noise
        noise = (queue - levels._signal * clear) / levels._noise
        queue = levels.step(queue, velocity if kind == "v_prediction" else noise)
        torch.testing.assert_close(queue[:, :1], clear, atol=1e-4, rtol=1e-4)
        queue = torch.cat([queue[:, 1:], drawn(4, 1, 2, 2, seed=2)], dim=1)


def test_the_queue_begins_almost_clear_and_ends_in_noise(pipeline):
    levels = Levels(pipeline.scheduler, 32)
    assert len(levels) == 32 and (levels.times.diff() > 0).all()
    assert levels._signal.flatten()[0] > 0.9 and levels._signal.flatten()[-1] < 0.05


@torch.no_grad()
def test_frames_at_levels_of_their_own_are_heard_by_the_network(pipeline):
    network, x, tokens = pipeline.first_chunk, drawn(2, 4, 16, 8, 8), drawn(2, 28, 64)
    pooled = drawn(2, 64)
    one, two = torch.tensor([3, 700]), torch.tensor([3] * 15 + [700])

    def asked(times: torch.Tensor) -> torch.Tensor:
        return network(x, times, tokens, timestep_cond=pooled).sample

    same = asked(one.unsqueeze(1).expand(-1, 16))
    torch.testing.assert_close(same, asked(one), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(asked(two.expand(2, -1))[0], same[0])


def video(pipeline, states, **changes):
    """Its frames, and what its chunks left; those in `states` are not made again."""
    request = default_request(MODEL, PROMPT, num_frames=48, seed=3, refine=False)
    recipe, frames, told = Recipe(pipeline, MODEL, replace(request, steps=16, **changes)), [], []
    for unit in recipe.plan[:-1]:
        if unit.key not in states:
            made = recipe.run(unit, states, lambda done, of: told.append((done, of)))
            states[unit.key] = made.state
            frames.append(made.frames)
    return np.concatenate(frames), told


@pytest.fixture(scope="module")
def undisturbed(request):
    """A video, its states, and its steps as they were told."""
    states: dict[str, bytes] = {}
    return *video(request.getfixturevalue("pipeline"), states), states


def test_the_state_is_as_large_after_many_chunks_as_after_one(undisturbed):
    frames, _, states = undisturbed
    assert len(frames) == 48 and len(states) == 5
    assert len({len(left) for left in states.values()}) == 1
    assert state.loads(states["stream-00001"])["queue"].shape[1] == 16


def test_steps_are_told_to_their_end(undisturbed):
    _, told, _ = undisturbed
    assert told[:32] == [(done, 32) for done in range(1, 33)] and told[32:40] == [(done, 8) for done in range(1, 9)]


@pytest.mark.parametrize("change", [{"prompts": ((16, OTHER),)}, {"seeds": ((16, 9),)}], ids=["prompt", "seed"])
def test_what_changes_is_seen_when_the_queue_has_gone_by(pipeline, undisturbed, change):
    """Another worker makes the chunks after the first one, from its state alone."""
    frames, _, states = undisturbed
    other, _ = video(pipeline, {"initialize-00000": states["initialize-00000"]}, **change)
    again, _ = video(pipeline, {key: states[key] for key in ("initialize-00000", "stream-00001", "stream-00002")})
    assert np.array_equal(again, frames[32:])
    assert not np.array_equal(other[16:], frames[32:])
