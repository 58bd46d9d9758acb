"""Pipelines continued from their last frame: what each call makes, of whichever class, and how each was released."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from longtake.checkpoints.stranger import look_at
from models import noise, pixels, recipe, state, units
from models.families.family import Facts
from models.families.last_frame import FAMILY
from models.loading import load_model
from models.model import CatalogError, Size
from models.request import Brief, default_request
from models.streaming_t2v.sampler import ignore
from tests.support import sources
from tests.support.tiny import last_frame as wan
from tests.support.tiny import ltx

PROMPT = "a red ball"
KINDS = {
    "wan": (wan.build, wan.OPTIONS, wan.SIZE),
    "wan-five": (wan.build_five, wan.OPTIONS, wan.SIZE),
    "cogvideox": (wan.build_cogvideox, {"chunk_frames": 9}, wan.SIZE),
    "ltx": (ltx.build_image_to_video, {"chunk_frames": 9, "fps": 30}, ltx.SIZE),
    "svd": (sources.stable_video, {"chunk_frames": 3, "fps": 9}, Size(64, 64)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A kind's folder, and its networks with or without those that draw from text."""
    root = tmp_path_factory.mktemp("last-frame")
    folder = cache(lambda kind: KINDS[kind][0](root / kind))
    return folder, cache(lambda told: load_model(told, told.checkpoint, device="cpu"))


@pytest.fixture(scope="module")
def text_weights(tmp_path_factory):
    return str(wan.build_text(tmp_path_factory.mktemp("text") / "wan"))


def model(made, kind, **options):
    folder, (_, own, size) = made[0](kind), KINDS[kind]
    return FAMILY.describe("tiny", str(folder), look_at(str(folder)).facts, sizes=(size,), **{**own, **options})


def picture(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (80, 100, 3), np.uint8)


def brief(own, **changes) -> Brief:
    request = default_request(own, PROMPT, num_frames=400, seed=5, refine=False)
    return Brief(own, replace(request, **{"steps": 2, "image": picture(), **changes}))


def later(told: Brief, chunks: int) -> list[units.Unit]:
    return [unit for unit in units.plan(told.model, told.request.num_frames, None) if unit.stage.is_chunk][1:chunks]


def streamer(made, told: Brief):
    return FAMILY.stream(made[1](told.model).pipeline, told)


def video(made, told: Brief, chunks: int) -> list[np.ndarray]:
    """Chunk by chunk, each from a state that has been bytes."""
    frames, left = streamer(made, told).begin(ignore)
    parts = [frames]
    for unit in later(told, chunks):
        frames, left = streamer(made, told).go_on(unit, state.loads(state.dumps(left)), ignore)
        parts.append(frames)
    return parts


@pytest.mark.parametrize("kind", KINDS)
def test_chunk_by_chunk_equals_the_pipeline_called_again_and_again(made, kind):
    """The pipeline itself, given by hand what its class takes, with a scheduler that goes on."""
    told = brief(model(made, kind), guidance_scale=3.0)
    pipeline, size = copy(made[1](told.model).pipeline), told.model.size
    pipeline.scheduler = deepcopy(pipeline.scheduler)
    asked = {"height": size.height, "width": size.width, "num_frames": told.model.chunk_frames}
    asked |= {"num_inference_steps": 2, "output_type": "np"}
    if kind == "svd":
        asked |= {"fps": 9, "max_guidance_scale": 3.0}
    else:
        asked |= {"prompt": PROMPT, "negative_prompt": told.model.negative_prompt, "guidance_scale": 3.0}
    if kind == "ltx":
        asked |= {"frame_rate": 30, "decode_timestep": 0.05, "decode_noise_scale": 0.025}
    last, expected = pixels.fit(picture()[None], size.height, size.width)[0], []
    for index in range(3):
        grain = noise.generator(seed=5, stage="last-frame", index=index)
        if kind == "ltx":
            grain = torch.Generator().manual_seed(grain.initial_seed())
        clip = pipeline(image=Image.fromarray(last), generator=grain, **asked).frames[0]
        clip = (clip * 255).round().astype(np.uint8)
        last = clip[-1]
        expected.append(clip[1:] if index else clip)
    ours = video(made, told, 3)
    assert [len(chunk) for chunk in ours] == [told.model.chunk_frames, *[told.model.new_frames] * 2]
    assert np.array_equal(np.concatenate(ours), np.concatenate(expected))
    assert np.concatenate(ours).std() > 1


def test_the_first_chunk_is_drawn_from_text_where_no_picture_is_given(made, text_weights):
    own = model(made, "wan", text_weights=text_weights)
    assert own.inputs == ("text", "image") and not own.needs_image
    from_text, from_picture = video(made, brief(own, image=None), 2), video(made, brief(own), 2)
    sibling = DiffusionPipeline.from_pretrained(text_weights)
    sibling.set_progress_bar_config(disable=True)
    alone = sibling(
        prompt=PROMPT, negative_prompt=own.negative_prompt, height=32, width=64, num_frames=5, num_inference_steps=2,
        guidance_scale=5.0, generator=noise.generator(seed=5, stage="last-frame", index=0),
    ).frames[0]  # fmt: skip
    assert np.array_equal(from_text[0], (alone * 255).round().astype(np.uint8))
    assert np.array_equal(np.concatenate(from_picture), np.concatenate(video(made, brief(model(made, "wan")), 2)))
    assert [len(chunk) for chunk in from_text] == [5, 4]


def test_without_a_picture_and_without_weights_for_text_nothing_is_begun(made):
    own = model(made, "wan")
    assert own.inputs == ("image",) and own.needs_image
    with pytest.raises(ValueError, match="tiny goes on from a picture; none is given, and nothing draws from text"):
        streamer(made, brief(own, image=None))


def test_a_whole_video_is_made_of_it_as_of_any_model(made, text_weights):
    own = model(made, "wan", text_weights=text_weights)
    request = replace(brief(own, image=None, steps=1).request, num_frames=11)
    chunks = [result.frames for _, result in recipe.Recipe(made[1](own), own, request).generate()]
    assert [len(chunk) for chunk in chunks] == [5, 4, 2]


@pytest.mark.parametrize("kind", ["wan", "ltx"])
def test_fifty_states_have_one_size_and_a_chunk_can_be_made_again_from_its_state(made, kind):
    told = brief(model(made, kind), steps=1, guidance_scale=1.0)
    own = streamer(made, told)
    frames, left = own.begin(ignore)
    sizes = {len(state.dumps(left))}
    for unit in later(told, 50):
        before = state.loads(state.dumps(left))
        frames, left = own.go_on(unit, before, ignore)
        sizes.add(len(state.dumps(left)))
    again, same = streamer(made, told).go_on(unit, before, ignore)
    assert unit.index == 49 and len(sizes) == 1
    assert np.array_equal(again, frames) and state.dumps(same) == state.dumps(left)


@pytest.mark.parametrize("kind", ["wan", "ltx"])
def test_a_later_prompt_or_seed_changes_only_what_comes_after_it(made, kind):
    own = model(made, kind)
    at = own.chunk_frames + own.new_frames
    plain = video(made, brief(own), 3)
    for change in ({"prompts": ((at, "a blue star"),)}, {"seeds": ((at, 9),)}):
        other = video(made, brief(own, **change), 3)
        assert all(map(np.array_equal, plain[:2], other[:2])) and not np.array_equal(plain[2], other[2])


def test_frames_come_from_the_picture_the_prompt_and_the_guidance(made):
    own = model(made, "ltx")
    (plain,) = video(made, brief(own), 1)
    for change in ({"image": picture(2)}, {"prompt": "a tree"}, {"guidance_scale": 8.0}, {"negative_prompt": "red"}):
        assert not np.array_equal(plain, video(made, brief(own, **change), 1)[0]), change


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_is_told_and_can_break_off_and_leaves_no_trace_in_the_pipeline(made, kind):
    told: list[tuple[int, int]] = []
    own = streamer(made, brief(model(made, kind), steps=3))
    frames, left = own.begin(lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]

    def stop(done, of):
        raise InterruptedError(done)

    with pytest.raises(InterruptedError, match="1"):
        own.go_on(later(brief(model(made, kind)), 2)[0], left, stop)
    assert np.array_equal(frames, own.begin(ignore)[0])
    scheduler = made[1](model(made, kind)).pipeline.scheduler
    assert getattr(scheduler, "num_inference_steps", None) is None


@pytest.mark.parametrize("kind", ["wan", "cogvideox", "ltx"])
def test_a_vae_in_other_numbers_than_the_networks_is_fed_its_own(made, kind):
    """As on a GPU, where some pipelines alone would hand bfloat16 latents to a float32 VAE."""
    own = model(made, kind)
    pipeline = DiffusionPipeline.from_pretrained(made[0](kind), dtype={"default": torch.bfloat16, "vae": torch.float32})
    pipeline.set_progress_bar_config(disable=True)
    (exact,), (frames, _) = video(made, brief(own), 1), FAMILY.stream(pipeline, brief(own)).begin(ignore)
    assert pipeline.transformer.dtype == torch.bfloat16 and pipeline.vae.dtype == torch.float32
    assert np.abs(frames.astype(int) - exact).mean() < 3


def described(pipeline: str, index=None, configs=None, **options):
    return FAMILY.describe(
        "own", "owner/own", Facts({"_class_name": pipeline, **(index or {})}, configs or {}), **options
    )


@pytest.mark.parametrize(
    ("pipeline", "index", "configs", "numbers"),
    [
        ("WanImageToVideoPipeline", {"expand_timesteps": False}, {}, (16, 81, "832x480", 50, 5.0)),
        ("WanImageToVideoPipeline", {"expand_timesteps": True}, {}, (24, 121, "1280x704", 50, 5.0)),
        ("WanImageToVideoPipeline", {"boundary_ratio": 0.9}, {}, (16, 81, "832x480", 40, 3.5)),
        ("LTXImageToVideoPipeline", {}, {}, (25, 161, "768x512", 50, 3.0)),
        ("CogVideoXImageToVideoPipeline", {}, {"transformer": {"patch_size_t": None}}, (8, 49, "720x480", 50, 6.0)),
        ("CogVideoXImageToVideoPipeline", {}, {"transformer": {"patch_size_t": 2}}, (16, 81, "1360x768", 50, 6.0)),
        ("HunyuanVideoImageToVideoPipeline", {}, {}, (24, 129, "1280x720", 50, 6.0)),
        ("StableVideoDiffusionPipeline", {}, {"unet": {"num_frames": 14}}, (7, 14, "1024x576", 25, 3.0)),
        ("StableVideoDiffusionPipeline", {}, {"unet": {"num_frames": 25}}, (7, 25, "1024x576", 25, 3.0)),
    ],
)
def test_each_release_is_described_by_its_own_numbers(pipeline, index, configs, numbers):
    own = described(pipeline, index, configs)
    assert (own.fps, own.chunk_frames, str(own.size), own.default_steps, own.default_guidance_scale) == numbers
    assert own.new_frames == own.chunk_frames - 1 and own.inputs == ("image",)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(CatalogError, match="chunk_frames is 80; WanImageToVideoPipeline makes 4 k \\+ 1"):
        described("WanImageToVideoPipeline", chunk_frames=80)
    with pytest.raises(CatalogError, match="makes 1 k \\+ 0, 2 or more"):
        described("StableVideoDiffusionPipeline", chunk_frames=1)
    with pytest.raises(CatalogError, match="multiples of 32"):
        described("LTXImageToVideoPipeline", sizes=(Size(720, 480),))
    with pytest.raises(CatalogError, match="throws away the four frames after the picture"):
        described(
            "HunyuanVideoImageToVideoPipeline", configs={"transformer": {"image_condition_type": "latent_concat"}}
        )
    assert described("CogVideoXImageToVideoPipeline", fps=16, chunk_frames=9).fps == 16


def test_a_number_of_frames_that_was_not_asked_for_is_an_error(made):
    own = replace(model(made, "wan"), chunk_frames=6)
    with pytest.raises(ValueError, match="WanImageToVideoPipeline made 5 frames, not 6"):
        video(made, brief(own), 1)
