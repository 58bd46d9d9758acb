"""LTX-2 chunk by chunk: each from the last frames of the one before, as the pipeline makes of them."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from diffusers import LTX2ConditionPipeline
from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition
from PIL import Image

from longtake.checkpoints.stranger import look_at
from models import noise, pixels, state, units
from models.families.family import Facts
from models.families.ltx2 import FAMILY
from models.loading import load_model
from models.model import CatalogError
from models.request import Brief, default_request
from models.streaming_t2v.sampler import ignore
from tests.support.tiny import ltx2 as tiny

PROMPT = "a red ball"
RELEASED = Facts({"_class_name": "LTX2Pipeline"}, {"vae": {"temporal_compression_ratio": 8}})
PLAIN = {"audio_guidance_scale": 1.0, "stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny.build(tmp_path_factory.mktemp("ltx2") / "tiny"))


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


def by_hand(networks, told: Brief, index: int, known: np.ndarray | None):
    """One call of the pipeline itself: frames, uint8 [F, H, W, 3]."""
    parts = {**networks.components, "scheduler": deepcopy(networks.scheduler)}
    pipeline = LTX2ConditionPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    conditions = known is not None and [LTX2VideoCondition([Image.fromarray(f) for f in known], index=0, crf=0)]
    options = told.options
    made = pipeline(
        conditions=conditions or None, prompt=PROMPT, negative_prompt=told.model.negative_prompt, height=32, width=64,
        num_frames=25, frame_rate=options["frame_rate"], num_inference_steps=2, guidance_scale=3.0,
        audio_guidance_scale=options["audio_guidance_scale"], stg_scale=options["stg_scale"],
        audio_stg_scale=options["stg_scale"], spatio_temporal_guidance_blocks=[0],
        modality_scale=options["modality_scale"], audio_modality_scale=options["modality_scale"],
        guidance_rescale=options["guidance_rescale"], audio_guidance_rescale=options["guidance_rescale"],
        generator=noise.generator(seed=5, stage="ltx2", index=index), output_type="np",
    )  # fmt: skip
    return (made.frames[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize("image", [None, picture()], ids=["text", "picture"])
@pytest.mark.parametrize("options", [{}, {"overlap_frames": 1, "frame_rate": 30, **PLAIN}], ids=["guided", "plain"])
def test_chunk_by_chunk_equals_the_pipeline_called_again_and_again(networks, image, options):
    """The pipeline itself, by hand, on the last frames that it made."""
    told = brief(options, image=image)
    overlap = told.options["overlap_frames"]
    expected: list[np.ndarray] = []
    for index in range(3):
        known = expected[-1][-overlap:] if expected else None
        if image is not None and not expected:
            known = pixels.fit(image[None], 32, 64)
        clip = by_hand(networks, told, index, known)
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
        changed = {**left, "known": left["known"].clone()}
        changed["known"][place] = 255 - changed["known"][place]
        assert not np.array_equal(own, streamer.go_on(unit, changed, ignore)[0]), place


def test_fifty_states_have_one_size_and_a_chunk_can_be_made_again_from_its_state(networks):
    told = brief(PLAIN, steps=1, guidance_scale=1.0)
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
        {"options": {"frame_rate": 30}}, {"options": {"audio_guidance_scale": 2.0}}, {"options": {"stg_scale": 0.0}},
        {"options": {"stg_block": 28}}, {"options": {"modality_scale": 1.0}}, {"options": {"guidance_rescale": 0.0}},
    ):  # fmt: skip
        assert not np.array_equal(plain, video(networks, brief(**change), 1)[0]), change


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


def test_the_pipelines_of_text_pictures_and_clips_are_one_family(networks):
    """They have the same networks; a scheduler of their own for the sound is not shared between videos either."""
    with_its_own = copy(networks)
    from_clips = LTX2ConditionPipeline(**networks.components, audio_scheduler=deepcopy(networks.scheduler))
    from_clips.set_progress_bar_config(disable=True)
    told = brief()
    assert all(map(np.array_equal, video(with_its_own, told, 2), video(from_clips, told, 2)))
    assert from_clips.audio_scheduler.step_index is None


def test_where_a_tokenizer_was_saved_to_pad_makes_no_difference(networks):
    """diffusers looks at that once, and then changes it."""
    expected = video(networks, brief(), 2)
    networks.tokenizer.padding_side = "right"
    assert all(map(np.array_equal, expected, video(networks, brief(), 2)))


def test_the_first_release_is_asked_as_it_was_trained(networks):
    """2.0 has no attention to leave out, and its blocks know one time for pictures and sound."""
    older = copy(networks.transformer)
    seen = []
    vars(older)["forward"] = lambda *given, **named: seen.append(named) or networks.transformer(*given, **named)
    older.register_to_config(cross_attn_mod=False, perturbed_attn=False)
    pipeline = LTX2ConditionPipeline(**{**networks.components, "transformer": older})
    pipeline.set_progress_bar_config(disable=True)
    video(pipeline, brief(steps=1), 1)
    assert [call["use_cross_timestep"] for call in seen] == [False, False]  # with guidance, and each alone
    assert networks.transformer.config.cross_attn_mod


def test_the_release_is_described_by_its_own_numbers():
    own = FAMILY.describe("ltx2", "owner/ltx2", RELEASED)
    assert (own.chunk_frames, own.new_frames, own.fps) == (121, 96, 24)
    assert (own.default_steps, own.default_guidance_scale, str(own.size)) == (30, 3.0, "768x512")
    assert own.inputs == ("text", "image") and not own.needs_image and "blurry" in own.negative_prompt


def test_lengths_that_cannot_be_made_are_refused():
    with pytest.raises(CatalogError, match="chunk_frames is 24; this checkpoint makes 8 k \\+ 1 frames"):
        model(chunk_frames=24)
