"""Videos along given frames, by ControlNet and by InstructPix2Pix: really loaded, really run."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from models import pixels
from models.model import CheckpointError
from models.text2video_zero import control, edit, parts
from models.text2video_zero.attention import CrossFrameAttention
from models.text2video_zero.control import Controlled, ControlOptions
from models.text2video_zero.edit import EditOptions, Shown, by_text_and_picture
from tests.support import sources

GIVEN = np.random.default_rng(0).integers(0, 256, (6, 64, 96, 3), dtype=np.uint8)


class Case(NamedTuple):
    """draw: (given frames, prompt, negative prompt, seed=, options=, on_step=)."""

    draw: Any
    options: Any
    networks: tuple[Any, ...]


@pytest.fixture(scope="module")
def instructed(tmp_path_factory):
    """InstructPix2Pix's folder: Stable Diffusion with a network of 8 channels."""
    folder = sources.stable_diffusion(tmp_path_factory.mktemp("edit") / "pix2pix", with_adapter=False)
    torch.manual_seed(8)
    config = UNet2DConditionModel.load_config(folder / "unet")
    UNet2DConditionModel.from_config({**config, "in_channels": 8}).save_pretrained(folder / "unet")
    return parts.load(str(folder), shown=True)


@pytest.fixture(params=["control", "edit"])
def case(request):
    if request.param == "control":
        controlled = request.getfixturevalue("controlled")
        options = ControlOptions(steps=2, chunk_frames=3)
        return Case(partial(control.draw, controlled), options, (controlled.unet, controlled.controlnet))
    instructed = request.getfixturevalue("instructed")
    return Case(partial(edit.edit, instructed), EditOptions(steps=2, chunk_frames=3), (instructed.unet,))


def video(case, given=GIVEN, prompt="make it snow", negative="", *, seed=1, **options):
    made = case.draw(given, prompt, negative, seed=seed, options=replace(case.options, **options))
    return np.concatenate(list(made))


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 6])
def test_there_is_a_frame_for_each_given_one(case, num_frames):
    frames = video(case, GIVEN[:num_frames])
    assert frames.shape == (num_frames, 64, 96, 3) and frames.dtype == np.uint8


def test_the_chunk_size_changes_frames_by_no_more_than_rounding(case):
    small, large = (video(case, chunk_frames=n).astype(int) for n in (2, 6))
    assert np.abs(small - large).max() <= 1


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(case):
    frames = video(case)
    torch.manual_seed(123)  # what else is drawn in the process is of no account
    assert np.array_equal(video(case), frames) and not np.array_equal(video(case, seed=2), frames)


def test_equal_frames_stay_equal(case):
    """Nothing flickers that the given frames do not ask for: every frame starts from the same noise."""
    frames = video(case, np.repeat(GIVEN[:1], 5, axis=0)).astype(int)
    assert np.abs(frames - frames[:1]).max() <= 1


def test_every_frame_follows_its_own_given_one_and_looks_at_the_first(case):
    plain = video(case).astype(int)
    last, first = GIVEN.copy(), GIVEN.copy()
    last[5], first[0] = 255 - GIVEN[5], 255 - GIVEN[0]
    changed = np.abs(video(case, last) - plain).max(axis=(1, 2, 3))
    assert not changed[:5].any() and changed[5] > 1
    assert np.abs(video(case, first) - plain).max(axis=(1, 2, 3)).all()  # also in the later chunks


@pytest.mark.parametrize("change", [{"prompt": "a cow"}, {"negative": "rain"}, {"guidance_scale": 3.0}, {"steps": 3}])
def test_every_wish_takes_effect(case, change):
    assert not np.array_equal(video(case, **change), video(case))


def test_the_scale_of_control_and_of_the_clip_take_effect(controlled, instructed):
    drawn = Case(partial(control.draw, controlled), ControlOptions(steps=2), ())
    assert not np.array_equal(video(drawn, control_scale=0.3), video(drawn))
    off = [video(drawn, given, control_scale=0.0) for given in (GIVEN, 255 - GIVEN)]
    assert np.array_equal(*off)
    edited = Case(partial(edit.edit, instructed), EditOptions(steps=2), ())
    assert not np.array_equal(video(edited, image_guidance_scale=2.0), video(edited))


def test_every_step_of_the_whole_video_is_told_and_the_networks_are_left_as_they_were(case):
    before, told = [dict(network.attn_processors) for network in case.networks], []

    def look(*progress):
        told.append(progress)
        for network in case.networks:
            assert all(isinstance(own, CrossFrameAttention) for own in network.attn_processors.values())
        if len(told) == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        list(case.draw(GIVEN, "a", seed=1, options=case.options, on_step=look))
    assert told == [(i, 6) for i in range(1, 6)]  # three chunks of two steps
    assert [network.attn_processors for network in case.networks] == before


def test_frames_are_read_a_chunk_at_a_time(case, tmp_path):
    """A clip that is far larger than memory: the file has holes, and nobody reads it to the end."""
    clip = np.memmap(tmp_path / "clip", np.uint8, "w+", shape=(1_000_000, 64, 96, 3))
    made = case.draw(clip, "a", seed=1, options=case.options)
    assert inspect.isgenerator(made) and next(made).shape == (3, 64, 96, 3) and next(made).shape == (2, 64, 96, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GIVEN.astype(np.float32), r"Frames are uint8 \[F, H, W, 3\], at least one of them, not float32"),
        (GIVEN[:0], "at least one of them"),
        (GIVEN[..., :1], "not uint8"),
        (GIVEN[:, :60], "The frames are 96x60; both sides must be multiples of 8"),
    ],
)
def test_frames_of_another_kind_are_refused_at_once(case, given, message):
    with pytest.raises(ValueError, match=message):
        case.draw(given, "a", seed=1)


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        (ControlOptions, {"control_scale": 3}, "control_scale is 3; it can be 0 to 2"),
        (ControlOptions, {"steps": 1}, "steps is 1; it can be 2 to 100"),
        (ControlOptions, {"chunk_frames": 1}, "chunk_frames is 1; it can be 2 to 64"),
        (EditOptions, {"image_guidance_scale": -1}, "image_guidance_scale is -1; it can be 0 to 10"),
        (EditOptions, {"guidance_scale": 51}, "guidance_scale is 51; it can be 0 to 50"),
    ],
)
def test_an_option_out_of_range_is_refused_by_its_name(options, change, message):
    with pytest.raises(ValueError, match=message):
        options(**change)


def test_control_enters_as_pixels_from_0_to_1_in_every_branch():
    seen = {}

    def controlnet(pictures, t, **inputs):
        seen.update(inputs)
        return [pictures], pictures

    def unet(pictures, t, **inputs):
        return SimpleNamespace(sample=pictures)

    Controlled(unet, controlnet, GIVEN, 0.5)(torch.zeros(12, 4, 8, 12), torch.tensor(1), torch.zeros(12, 7, 32))
    assert seen["conditioning_scale"] == 0.5 and seen["controlnet_cond"].shape == (12, 3, 64, 96)
    expected = torch.from_numpy(GIVEN).permute(0, 3, 1, 2) / 255
    assert torch.equal(seen["controlnet_cond"][:6], expected) and torch.equal(seen["controlnet_cond"][6:], expected)


@torch.no_grad()
def test_the_clip_enters_unscaled_and_not_in_the_branch_without_it(instructed):
    seen = []

    def unet(pictures, t, **inputs):
        seen.append(pictures)
        return SimpleNamespace(sample=pictures[:, :4])

    holder = SimpleNamespace(unet=unet, vae=instructed.vae)
    Shown(holder, GIVEN)(torch.ones(18, 4, 8, 12), torch.tensor(1), torch.zeros(18, 7, 32))
    assert seen[0].shape == (18, 8, 8, 12) and (seen[0][:, :4] == 1).all()
    scaled = pixels.encode(instructed.vae, GIVEN, size=(64, 96), resize="bilinear", batch=8).transpose(0, 1)
    expected = scaled / instructed.vae.config.scaling_factor
    assert torch.allclose(seen[0][:6, 4:], expected) and torch.allclose(seen[0][6:12, 4:], expected)
    assert not seen[0][12:, 4:].any()


def test_guidance_of_three_branches_is_the_papers():
    text, picture, null = torch.randn(3, 2, 4, 8, 8, generator=torch.manual_seed(1))
    guided = by_text_and_picture(7.5, 1.5)(torch.stack([text, picture, null]))
    assert torch.allclose(guided, null + 1.5 * (picture - null) + 7.5 * (text - picture))


def test_networks_of_another_kind_are_refused(controlled, tmp_path):
    folder = sources.stable_diffusion(tmp_path / "sd15", with_adapter=False)
    with pytest.raises(CheckpointError, match="reads 4 channels where an InstructPix2Pix reads 8"):
        parts.load(str(folder), shown=True)
    config = {**controlled.unet.config, "cross_attention_dim": 64}
    wider = ControlNetModel.from_unet(UNet2DConditionModel.from_config(config))
    folder = sources.controlled(tmp_path / "controlled")
    wider.save_pretrained(folder / "controlnet")
    with pytest.raises(CheckpointError, match="whose cross_attention_dim is 64, and this one's is 32"):
        parts.load(str(folder), controlled=True)
