"""A video of any length from a model of pictures: really loaded, really run."""

from __future__ import annotations

import inspect
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.model import CheckpointError
from models.text2video_zero import parts
from models.text2video_zero.attention import CrossFrameAttention, looking_at_the_first_frame
from models.text2video_zero.chunks import chunks, how_many
from models.text2video_zero.options import Options
from models.text2video_zero.pipeline import Text2VideoZero
from tests.support import sources

OPTIONS = Options(steps=5, chunk_frames=4)
PROMPT = "a horse is galloping"


def video(stable_diffusion, options=OPTIONS, *, num_frames=6, seed=1, prompt=PROMPT, negative="", size=(64, 64)):
    made = Text2VideoZero(stable_diffusion, options, height=size[0], width=size[1], seed=seed)
    return np.concatenate(list(made.generate(prompt, negative, num_frames=num_frames)))


@pytest.mark.parametrize("num_frames", [1, 2, 4, 5, 7, 8, 17])
def test_a_video_can_have_any_length(stable_diffusion, num_frames):
    frames = video(stable_diffusion, replace(OPTIONS, steps=2), num_frames=num_frames)
    assert frames.shape == (num_frames, 64, 64, 3) and frames.dtype == np.uint8


@pytest.mark.parametrize("chunk_frames", [2, 3, 8, 64])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 8, 9, 100])
def test_chunks_hold_every_frame_once_and_the_first_one_besides(num_frames, chunk_frames):
    spans = list(chunks(num_frames, chunk_frames))
    assert [k for span in spans for k in span] == list(range(num_frames))
    assert all(len(span) + (span.start > 0) <= chunk_frames for span in spans)
    assert how_many(num_frames, chunk_frames) == len(spans)


def test_what_frames_are_made_from_is_exactly_the_same_whichever_chunk_they_are_in(stable_diffusion):
    shot = Text2VideoZero(stable_diffusion, OPTIONS, height=64, width=96, seed=1)
    state = shot.begin(shot.read(PROMPT))
    whole = shot.latents(state, range(1, 20))
    for span in chunks(20, 4):
        part = shot.latents(state, range(max(span.start, 1), span.stop))
        assert torch.equal(part[:, :, :1], whole[:, :, :1])  # the first frame is in every chunk
        assert torch.equal(part[:, :, 1:], whole[:, :, max(span.start, 1) : span.stop])


def test_the_chunk_size_changes_frames_by_no_more_than_rounding(stable_diffusion):
    small, large = (video(stable_diffusion, replace(OPTIONS, chunk_frames=n), num_frames=7) for n in (2, 7))
    assert np.abs(small.astype(int) - large).max() <= 1


def test_a_longer_video_begins_as_the_shorter_one(stable_diffusion):
    assert np.array_equal(video(stable_diffusion, num_frames=7), video(stable_diffusion, num_frames=13)[:7])


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(stable_diffusion):
    frames = video(stable_diffusion)
    torch.manual_seed(123)  # what else is drawn in the process is of no account
    assert np.array_equal(video(stable_diffusion), frames)
    assert not np.array_equal(video(stable_diffusion, seed=2), frames)


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_scale": 3.0}, {"guidance_scale": 1.0}, {"motion": (40.0, 0.0)}, {"steps": 6}, {"t_prime": 300},
        {"t_prime": 300, "t_start": 700}, {"alpha": 0.6},
    ],
)  # fmt: skip
def test_every_option_takes_effect(stable_diffusion, options):
    assert not np.array_equal(video(stable_diffusion, replace(OPTIONS, **options)), video(stable_diffusion))


@pytest.mark.parametrize("text", [{"prompt": "a cow"}, {"negative": "rain"}])
def test_every_prompt_takes_effect(stable_diffusion, text):
    assert not np.array_equal(video(stable_diffusion, **text), video(stable_diffusion))


def test_any_chunk_can_be_made_alone_and_anywhere(stable_diffusion):
    shot = Text2VideoZero(stable_diffusion, OPTIONS, height=64, width=64, seed=1)
    frames = np.concatenate(list(shot.generate(PROMPT, num_frames=10)))
    other = Text2VideoZero(stable_diffusion, OPTIONS, height=64, width=64, seed=1)
    tokens = other.read(PROMPT)
    *_, last = chunks(10, OPTIONS.chunk_frames)
    assert np.array_equal(other.chunk(shot.begin(tokens), last, tokens), frames[last.start :])


@pytest.mark.parametrize(("motion", "cells"), [((64, 0), (0, 1)), ((0, -64), (-1, 0)), ((-128, 64), (1, -2))])
def test_the_motion_is_to_be_seen_in_the_latents(stable_diffusion, motion, cells):
    """Of all cells that frame 1's could have come from, those that the camera moved to are the ones most alike."""
    options = replace(OPTIONS, steps=50, motion=motion)
    shot = Text2VideoZero(stable_diffusion, options, height=128, width=128, seed=1)
    generator = torch.manual_seed(1)  # a trained network leaves them of unit variance, a random one does not
    state = {name: torch.randn(4, 16, 16, generator=generator) for name in ("start", "moved")}
    frame = shot.latents(state, range(1, 2))[0, :, 1]

    def likeness(place: tuple[int, int]) -> float:
        came_from = state["moved"].roll((-place[0], -place[1]), dims=(-2, -1))
        return (came_from * frame)[:, 4:12, 4:12].mean().item()

    down, across = 2 * cells[0], 2 * cells[1]
    assert max(itertools.product(range(-5, 6), repeat=2), key=likeness) == (down, across)


def test_without_motion_frames_still_differ_by_their_own_noise(stable_diffusion):
    frames = video(stable_diffusion, replace(OPTIONS, motion=(0.0, 0.0)), num_frames=3)
    assert not np.array_equal(frames[1], frames[2])


def test_every_chunk_looks_at_the_first_frame(stable_diffusion):
    """Another first frame changes a chunk's frames, though what they start from is the same."""
    shot = Text2VideoZero(stable_diffusion, OPTIONS, height=64, width=64, seed=1)
    tokens = shot.read(PROMPT)
    state = shot.begin(tokens)
    other = {**state, "start": state["start"].flip(-1)}
    assert torch.equal(shot.latents(state, range(5, 7))[:, :, 1:], shot.latents(other, range(5, 7))[:, :, 1:])
    assert not np.array_equal(shot.chunk(state, range(5, 7), tokens), shot.chunk(other, range(5, 7), tokens))


def test_the_network_is_left_as_it_was_also_when_stopped(stable_diffusion):
    def stop(step, steps):
        assert all(isinstance(p, CrossFrameAttention) for p in stable_diffusion.unet.attn_processors.values())
        raise InterruptedError

    before = dict(stable_diffusion.unet.attn_processors)
    with pytest.raises(InterruptedError):
        next(Text2VideoZero(stable_diffusion, OPTIONS, height=64, width=64, seed=1).generate(
            PROMPT, num_frames=2, on_step=stop
        ))  # fmt: skip
    assert stable_diffusion.unet.attn_processors == before
    with looking_at_the_first_frame(stable_diffusion.unet, 2):
        assert stable_diffusion.unet.attn_processors != before
    assert stable_diffusion.unet.attn_processors == before


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_every_step_of_the_whole_video_is_told(stable_diffusion, alpha):
    shot = Text2VideoZero(stable_diffusion, replace(OPTIONS, alpha=alpha), height=64, width=64, seed=1)
    told = []
    list(shot.generate(PROMPT, num_frames=6, on_step=lambda *progress: told.append(progress)))
    assert told == [(i + 1, len(told)) for i in range(len(told))]


def test_frames_are_given_out_before_later_ones_are_made(stable_diffusion):
    shot = Text2VideoZero(stable_diffusion, OPTIONS, height=64, width=64, seed=1)
    made = shot.generate(PROMPT, num_frames=10**9)
    assert inspect.isgenerator(made) and next(made).shape == (4, 64, 64, 3) and next(made).shape == (3, 64, 64, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 1}, "steps is 1; it can be 2 to 100"),
        ({"guidance_scale": -0.5}, "guidance_scale is -0.5; it can be 0 to 50"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"motion": (0, 513)}, "motion in y is 513; it can be -512 to 512"),
        ({"t_prime": 0}, "t_prime is 0; it can be 1 to 998"),
        ({"t_start": 1000}, "t_start is 1000; it can be 2 to 999"),
        ({"t_prime": 941}, "t_prime is 941; it must be below t_start, which is 941"),
        ({"chunk_frames": 1}, "chunk_frames is 1; it can be 2 to 64"),
        ({"alpha": 1.5}, "alpha is 1.5; it can be 0 to 1"),
    ],
)
def test_an_option_out_of_range_is_refused_by_its_name(change, message):
    with pytest.raises(ValueError, match=message):
        Options(**change)


def test_a_size_that_no_latents_have_is_refused(stable_diffusion):
    with pytest.raises(ValueError, match="The size is 64x60; both sides must be multiples of 8"):
        Text2VideoZero(stable_diffusion, OPTIONS, height=60, width=64, seed=1)


def test_no_frames_at_all_are_refused_at_once(stable_diffusion):
    shot = Text2VideoZero(stable_diffusion, OPTIONS, height=64, width=64, seed=1)
    with pytest.raises(ValueError, match="num_frames is 0"):
        shot.generate(PROMPT, num_frames=0)


def test_half_precision_is_the_weights_own_and_latents_stay_whole(tmp_path):
    folder = sources.stable_diffusion(tmp_path / "sd15", with_adapter=False)
    shot = Text2VideoZero(parts.load(str(folder), dtype=torch.bfloat16), OPTIONS, height=64, width=64, seed=1)
    tokens = shot.read(PROMPT)
    state = shot.begin(tokens)
    assert tokens.dtype == torch.bfloat16 and {x.dtype for x in state.values()} == {torch.float32}
    assert shot.chunk(state, range(3), tokens).shape == (3, 64, 64, 3)


def test_a_network_that_reads_more_than_noise_is_refused(tmp_path):
    folder = sources.stable_diffusion(tmp_path / "inpainting", with_adapter=False)
    from diffusers import UNet2DConditionModel

    config = UNet2DConditionModel.load_config(folder / "unet")
    UNet2DConditionModel.from_config({**config, "in_channels": 9}).save_pretrained(folder / "unet")
    with pytest.raises(CheckpointError, match="reads 9 channels where a text-to-image model reads 4"):
        parts.load(str(folder))
