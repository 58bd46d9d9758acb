"""LTX-Video chunk by chunk: each from the last frames of the one before, as the pipeline makes of them."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
from PIL import Image

from longtake.checkpoints.stranger import look_at
from models import noise, pixels, state, units
from models.families.family import Facts
from models.families.ltx import FAMILY
from models.loading import load_model
from models.model import CatalogError, Size
from models.request import Brief, default_request
from models.streaming_t2v.sampler import ignore
from tests.support.tiny import ltx as tiny

PROMPT = "a red ball"
RELEASED = Facts(
    {"_class_name": "LTXConditionPipeline"}, {"vae": {"spatio_temporal_scaling": [True, True, True, False]}}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny.build(tmp_path_factory.mktemp("ltx") / "tiny"))


@pytest.fixture(scope="module")
def networks(folder):
    return load_model(model(folder), folder, device="cpu").pipeline


@cache
def picture(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (80, 100, 3), np.uint8)


def model(folder="here", **options):
    facts = RELEASED if folder == "here" else look_at(folder).facts
    return FAMILY.describe("tiny", folder, facts, sizes=(tiny.SIZE,), **{**tiny.OPTIONS, **options})


def brief(options=None, **changes) -> Brief:
    own = model(**(options or {}))
    request = default_request(own, PROMPT, num_frames=900, seed=5, refine=False)
    return Brief(own, replace(request, **{"steps": 2, **changes}))


def later(told: Brief, chunks: int) -> list[units.Unit]:
    return [unit for unit in units.plan(told.model, told.request.num_frames, None) if unit.stage.is_chunk][1:chunks]


def video(networks, told: Brief, chunks: int) -> list[np.ndarray]:
    """Chunk by chunk, each from a state that has been bytes."""
    frames, left = FAMILY.stream(networks, told).begin(ignore)
    parts = [frames]
    for unit in later(told, chunks):
        frames, left = FAMILY.stream(networks, told).go_on(unit, state.loads(state.dumps(left)), ignore)
        parts.append(frames)
    return parts


@pytest.mark.parametrize("image", [None, picture()], ids=["text", "picture"])
@pytest.mark.parametrize("options", [{}, {"overlap_frames": 1, "frame_rate": 30, "image_cond_noise_scale": 0.0}])
def test_chunk_by_chunk_equals_the_pipeline_called_again_and_again(networks, image, options):
    """The pipeline itself, by hand, on the last frames that it made."""
    told = brief(options, image=image)
    pipeline, overlap = copy(networks), told.options["overlap_frames"]
    pipeline.scheduler = deepcopy(pipeline.scheduler)
    expected: list[np.ndarray] = []
    for index in range(3):
        known = expected[-1][-overlap:] if expected else None
        if image is not None and not expected:
            known = pixels.fit(image[None], 32, 64)
        conditions = known is not None and [LTXVideoCondition(video=[Image.fromarray(f) for f in known], frame_index=0)]
        clip = pipeline(
            conditions=conditions or None, prompt=PROMPT, negative_prompt=told.model.negative_prompt, height=32,
            width=64, num_frames=25, frame_rate=told.options["frame_rate"], num_inference_steps=2, guidance_scale=3.0,
            image_cond_noise_scale=told.options["image_cond_noise_scale"], decode_timestep=0.05,
            decode_noise_scale=0.025, generator=noise.generator(seed=5, stage="ltx", index=index), output_type="np",
        ).frames[0]  # fmt: skip
        clip = (clip * 255).round().astype(np.uint8)
        expected.append(clip if index == 0 else clip[overlap:])
    ours = video(networks, told, 3)
    assert [len(chunk) for chunk in ours] == [25, 25 - overlap, 25 - overlap]
    assert np.array_equal(np.concatenate(ours), np.concatenate(expected))
    assert np.concatenate(ours).std() > 1


def test_a_chunk_is_drawn_from_every_frame_that_it_knows(networks):
    streamer, unit = FAMILY.stream(networks, brief()), later(brief(), 2)[0]
    _, left = streamer.begin(ignore)
    own, _ = streamer.go_on(unit, left, ignore)
    for place in range(9):
        changed = {"known": left["known"].clone()}
        changed["known"][place] = 255 - changed["known"][place]
        assert not np.array_equal(own, streamer.go_on(unit, changed, ignore)[0]), place


def test_fifty_states_have_one_size_and_a_chunk_can_be_made_again_from_its_state(networks):
    told = brief(steps=1, guidance_scale=1.0)
    streamer = FAMILY.stream(networks, told)
    _, left = streamer.begin(ignore)
    sizes = {len(state.dumps(left))}
    for unit in later(told, 50):
        before = state.loads(state.dumps(left))
        frames, left = streamer.go_on(unit, before, ignore)
        sizes.add(len(state.dumps(left)))
    again, same = FAMILY.stream(networks, told).go_on(unit, before, ignore)
    assert unit.index == 49 and len(sizes) == 1
    assert np.array_equal(again, frames) and state.dumps(same) == state.dumps(left)


def test_a_later_prompt_or_seed_changes_only_what_comes_after_it(networks):
    plain, at = video(networks, brief(), 3), 25 + 16
    for change in ({"prompts": ((at, "a blue star"),)}, {"seeds": ((at, 9),)}):
        other = video(networks, brief(**change), 3)
        assert all(map(np.array_equal, plain[:2], other[:2])) and not np.array_equal(plain[2], other[2])


def test_frames_come_from_all_that_is_asked(networks):
    (plain,) = video(networks, brief(), 1)
    for change in (
        {"image": picture()}, {"prompt": "a tree"}, {"guidance_scale": 8.0}, {"negative_prompt": "red"},
        {"options": {"frame_rate": 30}}, {"options": {"decode_timestep": 0.5}},
        {"options": {"decode_noise_scale": 0.5}},
    ):  # fmt: skip
        assert not np.array_equal(plain, video(networks, brief(**change), 1)[0]), change
    (pictured,) = video(networks, brief(image=picture()), 1)
    assert not np.array_equal(pictured, video(networks, brief({"image_cond_noise_scale": 0.9}, image=picture()), 1)[0])


def test_every_step_is_told_and_can_break_off(networks):
    told: list[tuple[int, int]] = []
    streamer = FAMILY.stream(networks, brief(steps=3))
    frames, left = streamer.begin(lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]

    def stop(done, of):
        raise InterruptedError(done)

    with pytest.raises(InterruptedError, match="1"):
        streamer.go_on(later(brief(), 2)[0], left, stop)
    assert np.array_equal(frames, streamer.begin(ignore)[0])


def test_a_vae_in_other_numbers_than_the_networks_is_fed_its_own(networks, folder):
    """As on a GPU, where the pipeline alone would hand bfloat16 latents to a float32 VAE."""
    shorter = DiffusionPipeline.from_pretrained(folder, dtype={"default": torch.bfloat16, "vae": torch.float32})
    shorter.set_progress_bar_config(disable=True)
    exact, rounded = (video(parts, brief(image=picture()), 2) for parts in (networks, shorter))
    assert shorter.transformer.dtype == torch.bfloat16 and shorter.vae.dtype == torch.float32
    assert 0 < np.abs(np.concatenate(exact).astype(int) - np.concatenate(rounded)).mean() < 3


def test_the_release_is_described_by_its_own_numbers():
    own = FAMILY.describe("ltx", "owner/ltx", RELEASED)
    assert (own.chunk_frames, own.new_frames, own.fps) == (161, 136, 25)
    assert (own.default_steps, own.default_guidance_scale, str(own.size)) == (50, 3.0, "704x480")
    assert own.inputs == ("text", "image") and not own.needs_image and "blurry" in own.negative_prompt
    assert model(frame_rate=30).fps == 30


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"chunk_frames": 24}, "chunk_frames is 24; this checkpoint makes 8 k \\+ 1 frames"),
        ({"overlap_frames": 8}, "overlap_frames is 8; this checkpoint makes 8 k \\+ 1 frames"),
        ({"overlap_frames": 0}, "overlap_frames is 0"),
        ({"overlap_frames": 25}, "overlap_frames is 25 of a chunk's 25: none would be new"),
        ({"frame_rate": 0}, "frame_rate is 0; 1 to 60 are possible"),
    ],
)
def test_lengths_that_cannot_be_made_are_refused(options, why):
    with pytest.raises(CatalogError, match=why):
        model(**options)


def test_lengths_follow_from_the_vae_and_sides_from_the_pipeline():
    coarse = Facts(RELEASED.index, {"vae": {"temporal_compression_ratio": 4}})
    assert FAMILY.describe("own", "here", coarse, chunk_frames=21, overlap_frames=5).new_frames == 16
    with pytest.raises(CatalogError, match="multiples of 32"):
        FAMILY.describe("own", "here", RELEASED, sizes=(Size(720, 480),))
