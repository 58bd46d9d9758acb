"""FramePack section by section: the frames of the pipeline's one call, from states of one size, as each prompt says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from diffusers import HunyuanVideoFramepackPipeline
from PIL import Image

from models import noise, pixels, state, units
from models.families.family import Facts
from models.families.framepack import FAMILY
from models.memory import precision, presets
from models.model import CatalogError
from models.request import Brief, default_request
from models.streamers import family as loaded
from models.streaming_t2v.sampler import ignore
from tests.support.tiny import framepack as tiny

RELEASED = Facts(
    {"_class_name": "HunyuanVideoFramepackPipeline"},
    {
        "transformer": {"has_clean_x_embedder": True, "has_image_proj": True, "patch_size": 2},
        "vae": {"spatial_compression_ratio": 8, "temporal_compression_ratio": 4},
    },
)
PROMPT, NOT = "a red ball", "dull"


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    cpu = torch.device("cpu")
    folder = tiny.build(tmp_path_factory.mktemp("framepack"))
    return loaded.load(FAMILY, str(folder), cpu, precision.choose(cpu), presets.LARGE).pipeline


@cache
def picture(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (80, 100, 3), np.uint8)


def model(**options):
    return FAMILY.describe("tiny", "here", RELEASED, sizes=(tiny.SIZE,), **{**tiny.OPTIONS, **options})


def brief(options=None, **changes) -> Brief:
    own = model(**options or {})
    request = default_request(own, PROMPT, num_frames=500, seed=5, refine=False)
    return Brief(own, replace(request, **{"steps": 2, "image": picture(), **changes}))


def carried(left):
    return state.loads(state.dumps(left))


def later(told: Brief, chunks: int) -> list[units.Unit]:
    return [unit for unit in units.plan(told.model, told.request.num_frames, None) if unit.stage.is_chunk][1:chunks]


def video(networks, told: Brief, chunks: int) -> torch.Tensor:
    """Frames before they are rounded, [3, F, H, W], each chunk made from a state that has been bytes."""
    frames, left = FAMILY.stream(networks, told).opening(ignore)
    made = [frames]
    for unit in later(told, chunks):
        frames, left = FAMILY.stream(networks, told).section(unit, carried(left), ignore)
        made.append(frames)
    return torch.cat(made, dim=2)[0]


class InOneCall(HunyuanVideoFramepackPipeline):
    """The reference, with our noise of the sections."""

    def prepare_latents(self, batch, channels, height, width, frames, **_):
        self.sections += 1
        shape = (batch, channels, (frames - 1) // 4 + 1, height // 8, width // 8)
        return noise.gaussian(shape, seed=5, stage="framepack", index=self.sections - 1)


def reference(networks, told: Brief, sections: int) -> torch.Tensor:
    """[3, F, H, W], 0..1."""
    pipeline = InOneCall(**networks.components)
    pipeline.sections = 0
    pipeline.set_progress_bar_config(disable=True)
    size, window, request = told.model.size, told.options["latent_window_size"], told.request
    (shown,) = pixels.fit(request.image[None], size.height, size.width)
    made = pipeline(
        image=Image.fromarray(shown), prompt=request.prompt, negative_prompt=told.negative_prompt or None,
        true_cfg_scale=told.options["true_cfg_scale"], guidance_scale=request.guidance_scale, height=size.height,
        width=size.width, num_frames=sections * (4 * window - 3), latent_window_size=window,
        num_inference_steps=request.steps, sampling_type="vanilla", output_type="pt",
        generator=noise.generator(seed=5, stage="framepack", index=0),
    )  # fmt: skip
    return made.frames[0].transpose(0, 1)


@pytest.mark.parametrize(
    ("options", "negative"), [({}, ""), ({"true_cfg_scale": 2.5}, NOT), ({"latent_window_size": 9}, "")]
)
def test_chunk_by_chunk_equals_the_pipeline_in_one_call_but_for_the_last_overlap(networks, options, negative):
    told, sections = brief(options, negative_prompt=negative), 4
    ours, whole = (video(networks, told, sections) / 2 + 0.5).clamp(0, 1), reference(networks, told, sections)
    overlap = 4 * told.options["latent_window_size"] - 3
    assert ours.shape[1] == whole.shape[1] - overlap
    assert (ours - whole[:, :-overlap]).abs().max() < 1e-4
    assert whole.std() > 0.01  # not one grey, of which nothing could be told


def test_only_the_last_overlap_of_the_one_call_is_changed_by_going_on(networks):
    told = brief()
    shorter, longer = (reference(networks, told, sections) for sections in (3, 4))
    kept = shorter.shape[1] - 5
    assert torch.equal(shorter[:, :kept], longer[:, :kept])
    assert (shorter[:, kept:] - longer[:, kept : kept + 5]).abs().amax((0, 2, 3))[1:].min() > 0  # the first: weight 1


def test_guidance_against_a_negative_prompt_is_only_where_both_are_asked_for(networks):
    plain = video(networks, brief(), 2)
    assert torch.equal(plain, video(networks, brief(negative_prompt=NOT), 2))
    assert torch.equal(plain, video(networks, brief({"true_cfg_scale": 2.5}), 2))
    assert not torch.equal(plain, video(networks, brief({"true_cfg_scale": 2.5}, negative_prompt=NOT), 2))
    assert not torch.equal(plain, video(networks, brief(guidance_scale=3.0), 2))


def test_the_network_is_asked_twice_a_step_only_where_it_is_guided_against_a_prompt(networks, monkeypatch):
    asked, own = [], networks.transformer.forward
    monkeypatch.setattr(networks.transformer, "forward", lambda *a, **k: asked.append(1) or own(*a, **k))
    for options, expected in (({}, 2), ({"true_cfg_scale": 2.5}, 4)):
        asked.clear()
        video(networks, brief(options, negative_prompt=NOT), 1)
        assert len(asked) == expected


def test_fifty_states_have_one_size_and_a_chunk_can_be_made_again_from_its_state(networks):
    told = brief(steps=1)
    streamer = FAMILY.stream(networks, told)
    frames, left = streamer.begin(ignore)
    assert frames.shape == (4, 32, 48, 3) and frames.dtype == np.uint8
    sizes = {len(state.dumps(left))}
    for unit in later(told, 50):
        before = carried(left)
        frames, left = streamer.go_on(unit, before, ignore)
        sizes.add(len(state.dumps(left)))
        assert frames.shape == (8, 32, 48, 3)
    again, same = FAMILY.stream(networks, told).go_on(unit, before, ignore)
    assert len(sizes) == 1
    assert np.array_equal(again, frames) and state.dumps(same) == state.dumps(left)


def test_a_later_prompt_or_seed_changes_only_what_comes_after_it(networks):
    own = video(networks, brief(), 4)
    at = later(brief(), 3)[-1].first_frame
    for change in ({"prompts": ((at, "a blue star"),)}, {"seeds": ((at, 9),)}):
        other = video(networks, brief(**change), 4)
        assert torch.equal(own[:, :at], other[:, :at])
        assert not torch.equal(own[:, at:], other[:, at:])


def test_frames_come_from_the_picture_and_the_prompt(networks):
    own = video(networks, brief(), 1)
    assert (own - video(networks, brief(image=picture(2)), 1)).abs().max() > 1e-3
    assert not torch.equal(own, video(networks, brief(prompt="a tree"), 1))
    with pytest.raises(ValueError, match="tiny goes on from a picture, and none is given"):
        FAMILY.stream(networks, brief(image=None))


def test_each_section_is_drawn_from_all_of_its_history(networks):
    told = brief()
    streamer = FAMILY.stream(networks, told)
    _, left = streamer.opening(ignore)
    *_, unit = later(told, 12)
    own = streamer.section(unit, left, ignore)[1]["latents"]
    for place in (-1, -2, -4, -19):
        changed = {**left, "latents": left["latents"].clone()}
        changed["latents"][:, :, place] += 1
        assert not torch.equal(own[:, :, -2:], streamer.section(unit, changed, ignore)[1]["latents"][:, :, -2:])


def test_every_step_is_told_and_can_break_off(networks):
    told: list[tuple[int, int]] = []
    streamer = FAMILY.stream(networks, brief(steps=3))
    _, left = streamer.begin(lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]

    def stop(done, of):
        raise InterruptedError(done)

    with pytest.raises(InterruptedError, match="1"):
        streamer.go_on(later(brief(), 2)[0], left, stop)


def test_the_release_is_described_by_its_own_numbers():
    own = FAMILY.describe("framepack", "owner/framepack", RELEASED)
    assert (own.chunk_frames, own.new_frames, own.fps) == (4, 36, 30)
    assert (own.default_steps, own.default_guidance_scale, str(own.size)) == (30, 9.0, "832x480")
    assert own.inputs == ("image",) and own.needs_image
    assert "Tencent" in own.licence
    assert model(latent_window_size=5).new_frames == 20
    with pytest.raises(CatalogError, match="a section has 1 latent frame or more"):
        model(latent_window_size=0)
    with pytest.raises(CatalogError, match="multiples of 16"):
        FAMILY.describe("framepack", "here", RELEASED, sizes=(replace(tiny.SIZE, width=40),))


@pytest.mark.parametrize(
    ("entry", "why"), [("has_clean_x_embedder", "reads no history"), ("has_image_proj", "reads no picture")]
)
def test_a_transformer_without_history_or_picture_is_refused(entry, why):
    lacking = {**RELEASED.configs["transformer"], entry: False}
    with pytest.raises(CatalogError, match=f"here cannot be streamed: its transformer {why}"):
        FAMILY.describe("own", "here", Facts(RELEASED.index, {**RELEASED.configs, "transformer": lacking}))
