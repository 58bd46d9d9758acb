"""LTX-2 chunk by chunk: each from the last frames of the one before, as the pipeline makes of them, with its sound."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, LTX2ConditionPipeline
from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition
from PIL import Image

from longtake.checkpoints.stranger import look_at
from models import noise, pixels, state, units
from models.families.family import Facts
from models.families.ltx2 import FAMILY
from models.loading import load_model
from models.model import CatalogError
from models.recipe import Recipe
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


def kept(left: dict[str, torch.Tensor]) -> bytes:
    """A state as the next chunk is given it: the sound of the chunk itself is in its segment."""
    return state.dumps({name: tensor for name, tensor in left.items() if name != "sound"})


def film(networks, told: Brief, chunks: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames and sound chunk by chunk, each from a state that has been bytes."""
    frames, left = FAMILY.stream(networks, told).begin(ignore)
    parts, sounds = [frames], [left["sound"].numpy()]
    for unit in later(told, chunks):
        frames, left = FAMILY.stream(networks, told).go_on(unit, state.loads(kept(left)), ignore)
        parts.append(frames)
        sounds.append(left["sound"].numpy())
    return parts, sounds


def video(networks, told: Brief, chunks: int) -> list[np.ndarray]:
    return film(networks, told, chunks)[0]


def by_hand(networks, told: Brief, index: int, known: np.ndarray | None, latents: int | None):
    """One call of the pipeline itself: frames, uint8 [F, H, W, 3], and sound, int16 [S, 2], of so many latents."""
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
        audio_latents=None if latents is None else torch.zeros(1, 4, latents, 2),
    )  # fmt: skip
    return (made.frames[0] * 255).round().astype(np.uint8), (made.audio[0] * 32767).round().short().T.numpy()


def joined(before: np.ndarray | None, sound: np.ndarray, first: int, stop: int) -> np.ndarray:
    """A chunk's own samples from `first` to `stop`, sample by sample faded from how the one before went on."""
    new = sound[first:stop].copy()
    for i in range(0 if before is None else 1200):
        turn = i / 1200 * np.pi / 2
        new[i] = np.round(np.cos(turn) * before[i] + np.sin(turn) * new[i])
    return new


@pytest.mark.parametrize("image", [None, picture()], ids=["text", "picture"])
@pytest.mark.parametrize("options", [{}, {"overlap_frames": 1, "frame_rate": 30, **PLAIN}], ids=["guided", "plain"])
def test_chunk_by_chunk_equals_the_pipeline_called_again_and_again(networks, image, options):
    """The pipeline itself, by hand, on the last frames that it made."""
    told = brief(options, image=image)
    overlap = told.options["overlap_frames"]
    a_frame = 24000 // told.options["frame_rate"]  # samples
    expected: list[np.ndarray] = []
    heard: list[np.ndarray] = []
    fade = None
    for index in range(3):
        known = expected[-1][-overlap:] if expected else None
        if image is not None and not expected:
            known = pixels.fit(image[None], 32, 64)
        clip, sound = by_hand(networks, told, index, known, 29 if a_frame == 1000 else 24)
        expected.append(clip if index == 0 else clip[overlap:])
        heard.append(joined(fade, sound, (overlap if index else 0) * a_frame, 25 * a_frame))
        fade = sound[25 * a_frame :]
    ours, sounds = film(networks, told, 3)
    assert [len(chunk) for chunk in ours] == [25, 25 - overlap, 25 - overlap]
    assert np.array_equal(np.concatenate(ours), np.concatenate(expected))
    assert np.concatenate(ours).std() > 1
    assert [len(sound) for sound in sounds] == [len(chunk) * a_frame for chunk in ours]
    assert np.array_equal(np.concatenate(sounds), np.concatenate(heard))
    assert np.concatenate(sounds).std() > 100


def test_room_for_sound_is_filled_as_the_pipeline_fills_its_own(networks):
    """For 25 frames it makes room for 26 latents: 1.04 s."""
    frames, sound = by_hand(networks, brief(), 0, None, 26)
    same_frames, same_sound = by_hand(networks, brief(), 0, None, None)
    assert np.array_equal(frames, same_frames) and np.array_equal(sound, same_sound)
    assert len(sound) < 25 * 1000, "its own room is too small for its own frames"


def test_sound_does_not_jump_where_a_chunk_begins(networks):
    """Across a seam it moves as it does within a chunk."""
    _, sounds = film(networks, brief(), 6)
    steps = np.abs(np.diff(np.concatenate(sounds).astype(int), axis=0)).max(axis=1)
    seams = np.cumsum([len(sound) for sound in sounds])[:-1] - 1
    cut = [np.abs(after[0].astype(int) - before[-1]).max() for before, after in pairwise(sounds)]
    assert max(cut) == max(steps[seams]) <= np.quantile(steps, 0.999)


def test_sound_of_a_video_is_exactly_as_long_as_its_frames(networks, folder):
    """Also of one whose last chunk is cut off, and at a rate that no number of frames divides."""
    for options, frames in (({}, 50), ({"frame_rate": 7}, 60)):
        own = model(folder, **options)
        request = replace(default_request(own, PROMPT, num_frames=frames, seed=5, refine=False), steps=1)
        results = [made for _, made in Recipe(load_model(own, folder, device="cpu"), own, request).generate()]
        assert sum(len(made.frames) for made in results) == frames
        heard = sum(len(made.sound.samples) for made in results)
        assert heard == round(frames * 24000 / own.fps) and {made.sound.rate for made in results} == {24000}
        assert all("sound" not in state.loads(made.state) for made in results)


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
    sizes = {len(kept(left))}
    for unit in later(told, 50):
        before = state.loads(kept(left))
        frames, left = streamer.go_on(unit, before, ignore)
        sizes.add(len(kept(left)))
    again, same = FAMILY.stream(networks, told).go_on(unit, before, ignore)
    assert unit.index == 49 and len(sizes) == 1
    assert np.array_equal(again, frames) and state.dumps(same) == state.dumps(left)
    assert left["fade"].shape == (1200, 2), "50 ms of sound pass on, and no more"


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


def test_networks_in_bfloat16_make_much_the_same_sound_and_frames(networks, folder):
    """As on a GPU, with a float32 VAE beside them."""
    shorter = DiffusionPipeline.from_pretrained(folder, dtype={"default": torch.bfloat16, "vae": torch.float32})
    shorter.set_progress_bar_config(disable=True)
    told = brief(PLAIN, image=picture(), steps=1)
    exact, rounded = (film(parts, told, 2) for parts in (networks, shorter))
    assert shorter.vocoder.dtype == torch.bfloat16 and shorter.vae.dtype == torch.float32
    for ours, theirs, tolerance in zip(exact, rounded, (3, 500), strict=True):
        assert 0 < np.abs(np.concatenate(ours).astype(int) - np.concatenate(theirs)).mean() < tolerance


def test_the_release_is_described_by_its_own_numbers():
    own = FAMILY.describe("ltx2", "owner/ltx2", RELEASED)
    assert (own.chunk_frames, own.new_frames, own.fps) == (121, 96, 24)
    assert (own.default_steps, own.default_guidance_scale, str(own.size)) == (30, 3.0, "768x512")
    assert own.inputs == ("text", "image") and not own.needs_image and "blurry" in own.negative_prompt
    assert own.sound_rate == 24000
    newer = Facts(RELEASED.index, {**RELEASED.configs, "vocoder": {"output_sampling_rate": 48000}})
    assert FAMILY.describe("ltx2", "owner/ltx2", newer).sound_rate == 48000


def test_lengths_that_cannot_be_made_are_refused():
    with pytest.raises(CatalogError, match="chunk_frames is 24; this checkpoint makes 8 k \\+ 1 frames"):
        model(chunk_frames=24)
