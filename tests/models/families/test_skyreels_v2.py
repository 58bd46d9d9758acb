"""SkyReels-V2, chunk by chunk: the frames of diffusers' pipeline, decoded without a seam from a state of one size."""

from __future__ import annotations

from itertools import count

import diffusers
import diffusers.pipelines.skyreels_v2.pipeline_skyreels_v2_diffusion_forcing as from_text
import diffusers.pipelines.skyreels_v2.pipeline_skyreels_v2_diffusion_forcing_i2v as from_picture
import numpy as np
import pytest
import torch
from PIL import Image

from models import noise, pixels, state
from models.families import skyreels_v2
from models.families.family import Facts
from models.model import CatalogError, Size
from models.streamers import causal_vae
from models.streamers.skyreels_v2 import PAST, STAGE, SkyReelsV2
from models.streaming_t2v.sampler import ignore
from tests.support.tiny import skyreels_v2 as tiny
from tests.support.tiny import streamed

SEED = 5
WAYS = {
    "together": {},
    "one-after-the-other": {"ar_step": 1},
    "in-blocks": {"ar_step": 1, "causal_block_size": 2},
    "clean-past": {"addnoise_condition": 0},
    "with-features": {"vae_features": True},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("skyreels") / "tiny-skyreels-v2")


@pytest.fixture(scope="module")
def pipeline(folder):
    return streamed.pipeline(skyreels_v2.FAMILY, folder)


@pytest.fixture(scope="module")
def model_of(folder):
    return lambda **options: streamed.model(skyreels_v2.FAMILY, folder, tiny.SIZE, **{**tiny.OPTIONS, **options})


@pytest.fixture(scope="module")
def model(model_of):
    return model_of()


def streamer(pipeline, model, **changes):
    return SkyReelsV2(pipeline, streamed.brief(model, **changes))


def in_one_call(pipeline, brief, monkeypatch):
    """Frames of diffusers' own loop, float [F, H, W, 3] in 0..1, from the noise that is ours."""
    chunk, step, asked = -1, count(), brief.options

    def start(shape, **_):
        nonlocal chunk, step
        chunk, step = chunk + 1, count()
        return noise.gaussian(shape, seed=SEED, stage=STAGE, index=chunk)

    def grain(like):
        return noise.gaussian(like.shape, seed=SEED, stage=PAST, index=chunk, step=next(step))

    request, size, image = brief.request, brief.model.size, {}
    if request.image is not None:
        (fitted,) = pixels.fit(request.image[None], size.height, size.width)
        image = {"image": Image.fromarray(fitted)}
        pipeline = diffusers.SkyReelsV2DiffusionForcingImageToVideoPipeline(**pipeline.components)
    with monkeypatch.context() as patch:
        patch.setattr(from_text, "randn_tensor", start)
        patch.setattr(from_picture, "randn_tensor", start)
        patch.setattr(torch, "randn_like", grain)
        frames = pipeline(
            prompt=request.prompt, negative_prompt=request.negative_prompt, height=size.height, width=size.width,
            num_frames=request.num_frames, num_inference_steps=request.steps, guidance_scale=request.guidance_scale,
            base_num_frames=asked["base_frames"], overlap_history=asked["overlap_history"], ar_step=asked["ar_step"],
            causal_block_size=asked["causal_block_size"] or 1, addnoise_condition=asked["addnoise_condition"], **image,
        ).frames[0]  # fmt: skip
    pipeline.transformer.register_to_config(num_frame_per_block=1)  # which the pipeline leaves as it was asked for
    return frames


def chunk_by_chunk(pipeline, brief, monkeypatch):
    """The same of ours, before they are rounded."""
    shown = []
    with monkeypatch.context() as patch:
        whole = causal_vae.as_bytes
        patch.setattr(causal_vae, "as_bytes", lambda frames: shown.append(frames) or whole(frames))
        streamed.video(SkyReelsV2(pipeline, brief), brief.model)
    return ((torch.cat(shown, dim=2)[0] + 1) / 2).permute(1, 2, 3, 0).numpy()


@pytest.mark.parametrize("way", WAYS)
def test_chunk_by_chunk_equals_the_pipeline_in_one_call(pipeline, model_of, monkeypatch, way):
    brief = streamed.brief(model_of(**WAYS[way]), steps=3)
    ours, theirs = chunk_by_chunk(pipeline, brief, monkeypatch), in_one_call(pipeline, brief, monkeypatch)
    assert ours.shape == theirs.shape == (29, 32, 48, 3)
    assert np.abs(ours - theirs).max() < 1e-4 and theirs.std() > 0.01


def test_chunk_by_chunk_after_a_picture_equals_the_pipeline_in_one_call(pipeline, model, monkeypatch):
    brief = streamed.brief(model, steps=3, image=streamed.picture(1))
    ours, theirs = chunk_by_chunk(pipeline, brief, monkeypatch), in_one_call(pipeline, brief, monkeypatch)
    assert np.abs(ours - theirs).max() < 1e-4 and theirs.std() > 0.01


@pytest.mark.parametrize("level", [0, 20])
def test_a_picture_stays_what_it_is_in_blocks_too(pipeline, model_of, monkeypatch, level):
    told, whole = set(), pipeline.transformer.forward
    listening = lambda x, levels, *a, **k: told.update(levels[:, 0].tolist()) or whole(x, levels, *a, **k)  # noqa: E731
    monkeypatch.setattr(pipeline.transformer, "forward", listening)
    model = model_of(causal_block_size=2, ar_step=1, addnoise_condition=level)
    brief = streamed.brief(model, image=streamed.picture(1))
    _, left = SkyReelsV2(pipeline, brief).begin(ignore)
    shown = causal_vae.encode(pipeline.vae, causal_vae.picture(brief.request.image, 32, 48))
    assert torch.equal(left["latents"][:, :, -4:-3], shown) and told == {level}


@pytest.mark.parametrize("way", ["together", "with-features"])
def test_the_state_stays_as_large_as_it_is_and_a_chunk_is_the_same_from_it_every_time(pipeline, model_of, way):
    model = model_of(vae_context=4, **WAYS[way])
    quick = streamer(pipeline, model, steps=1, guidance_scale=1.0)
    lefts = [state.dumps(left) for _, left in streamed.chunks(quick, model, 50)]
    assert len({len(left) for left in lefts}) == 1
    unit = streamed.unit(model, 50)
    one, other = (streamer(pipeline, model).go_on(unit, state.loads(lefts[-1]), ignore) for _ in range(2))
    assert np.array_equal(one[0], other[0]) and state.dumps(one[1]) == state.dumps(other[1])


def test_latents_decoded_again_and_features_handed_over_make_the_same_frames(pipeline, model_of):
    kinds = ({}, {"vae_features": True}, {"vae_context": 8}, {"vae_context": 2})
    models = [model_of(base_frames=49, **kind) for kind in kinds]  # more latents than the VAE looks back at, by the end
    frames, handed, short, shorter = (streamed.video(streamer(pipeline, model), model, 4) for model in models)
    assert np.array_equal(frames, handed)
    errors = [np.abs(frames.astype(int) - other).max() for other in (short, shorter)]
    assert 0 < errors[0] < errors[1]


def test_a_later_prompt_and_a_later_seed_change_what_comes_after_and_no_frame_before(pipeline, model):
    at, new = model.chunk_frames, model.new_frames
    own = streamed.video(streamer(pipeline, model), model)
    for change in ({"prompts": ((at, streamed.OTHER),)}, {"seeds": ((at, 9),)}):
        other = streamed.video(streamer(pipeline, model, **change), model)
        assert np.array_equal(own[:at], other[:at])
        assert all(not np.array_equal(own[i : i + new], other[i : i + new]) for i in (at, at + new))


def test_a_picture_is_what_the_video_begins_with(pipeline, model):
    first, again, other = (
        streamer(pipeline, model, image=streamed.picture(seed)).begin(ignore)[0] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first[0], other[0])


def test_without_guidance_the_network_is_asked_for_one_video(pipeline, model, monkeypatch):
    asked = []
    whole = pipeline.transformer.forward
    monkeypatch.setattr(pipeline.transformer, "forward", lambda x, *a, **k: asked.append(len(x)) or whole(x, *a, **k))
    for scale in (1.0, 3.0):
        streamer(pipeline, model, guidance_scale=scale).begin(ignore)
    assert asked == [1, 1, 2, 2]


def test_the_network_has_its_own_blocks_again_even_after_a_chunk_that_was_broken_off(pipeline, model_of):
    def stop(done, of):
        assert pipeline.transformer.config.num_frame_per_block == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamer(pipeline, model_of(causal_block_size=2)).begin(stop)
    assert pipeline.transformer.config.num_frame_per_block == 1


@pytest.mark.parametrize(("way", "first", "later"), [("together", 3, 3), ("in-blocks", 4, 3)])
def test_every_step_is_told_and_may_be_the_last(pipeline, model_of, way, first, later):
    told, model = [], model_of(**WAYS[way])
    drawing = streamer(pipeline, model, steps=3)
    list(streamed.chunks(drawing, model, 2, lambda *step: told.append(step)))
    assert told == [(i + 1, of) for of in (first, later) for i in range(of)]

    def stop(done, of):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawing.begin(stop)


def released(scheduler="UniPCMultistepScheduler", **transformer):
    """The facts of SkyReels-V2-DF-14B-540P as far as they are read."""
    index = {"_class_name": "SkyReelsV2DiffusionForcingPipeline", "scheduler": ["diffusers", scheduler]}
    vae = {"temperal_downsample": [False, True, True], "z_dim": 16}
    return Facts(index, {"vae": vae, "transformer": {"in_channels": 16, "num_frame_per_block": 1, **transformer}})


def test_the_release_is_described_as_it_was_made():
    model = skyreels_v2.FAMILY.describe("skyreels", "Skywork/SkyReels-V2-DF-14B-540P-Diffusers", released())
    assert (model.chunk_frames, model.new_frames, model.fps, str(model.size)) == (97, 80, 24, "960x544")
    assert (model.default_steps, model.default_guidance_scale) == (30, 6.0)
    assert model.inputs == ("text", "image") and dict(model.options)["addnoise_condition"] == 20
    larger = {"base_frames": 121, "overlap_history": 37, "sizes": (Size(1280, 720),)}
    model = skyreels_v2.FAMILY.describe("skyreels", "here", released(), **larger)
    assert (model.chunk_frames, model.new_frames, str(model.size)) == (121, 84, "1280x720")
    skyreels_v2.FAMILY.describe("skyreels", "here", released(), ar_step=5, causal_block_size=5)


@pytest.mark.parametrize(
    ("facts", "options", "said"),
    [
        (released("FlowMatchEulerDiscreteScheduler"), {}, "only UniPCMultistepScheduler is known"),
        (released(in_channels=36), {}, "takes 36 channels, and its latents have 16"),
        (released(image_dim=1280), {}, "reads pictures by an encoder"),
        (released(), {"base_frames": 96}, "base_frames is 96; one more than a multiple of 4"),
        (released(), {"overlap_history": 18}, "overlap_history is 18"),
        (released(), {"overlap_history": 97}, "less than the 97 of base_frames"),
        (released(), {"causal_block_size": 5, "overlap_history": 13}, "4 latents and no multiple of 5"),
        (released(num_frame_per_block=5), {"base_frames": 93}, "24 latents and no multiple of 5"),
        (released(), {"addnoise_condition": 1000}, "0 to 999"),
        (released(), {"ar_step": -1}, "ar_step is -1"),
        (released(), {"vae_context": -1}, "vae_context is -1"),
        (released(), {"sizes": (Size(960, 540),)}, "multiples of 16"),
    ],
)
def test_what_cannot_be_streamed_is_refused_with_the_reason(facts, options, said):
    with pytest.raises(CatalogError, match=said):
        skyreels_v2.FAMILY.describe("skyreels", "here", facts, **options)
