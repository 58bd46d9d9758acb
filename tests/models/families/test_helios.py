"""Helios, chunk by chunk: the frames of diffusers' pipeline, from a state that does not grow."""

from __future__ import annotations

from itertools import count

import diffusers.models.autoencoders.vae as vae_module
import diffusers.pipelines.helios.pipeline_helios as reference
import numpy as np
import pytest
import torch
from PIL import Image

from models import noise, pixels, state
from models.families import helios
from models.families.family import Facts
from models.model import CatalogError, Size
from models.streamers import causal_vae
from models.streamers.helios import PICTURE, STAGE, Helios
from tests.support.tiny import helios as tiny
from tests.support.tiny import streamed

SEED = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("helios") / "tiny-helios")


@pytest.fixture(scope="module")
def pipeline(folder):
    return streamed.pipeline(helios.FAMILY, folder)


@pytest.fixture(scope="module")
def model(folder):
    return streamed.model(helios.FAMILY, folder, tiny.SIZE, **tiny.OPTIONS)


def in_one_call(pipeline, brief, monkeypatch, module=reference, **asked):
    """Frames of diffusers' own loop, float [F, H, W, 3] in 0..1, from the noise that is ours in its order."""
    request, size, rand = brief.request, brief.model.size, torch.rand
    of_posterior, of_picture, shares = iter((0, 1)), iter((2, 3) if request.image is not None else ()), iter((2, 3))
    chunks = count()

    def posterior(shape, **_):
        return noise.gaussian(shape, seed=SEED, stage=PICTURE, index=next(of_posterior))

    def own(shape, **_):
        if (draw := next(of_picture, None)) is not None:
            return noise.gaussian(shape, seed=SEED, stage=PICTURE, index=draw)
        return noise.gaussian(shape, seed=SEED, stage=STAGE, index=next(chunks))

    def share(*_, **__):
        return rand(1, generator=noise.generator(seed=SEED, stage=PICTURE, index=next(shares)))

    image = None if request.image is None else pixels.fit(request.image[None], size.height, size.width)[0]
    with monkeypatch.context() as patch:
        patch.setattr(module, "randn_tensor", own)
        patch.setattr(vae_module, "randn_tensor", posterior)
        patch.setattr(torch, "rand", share)
        return pipeline(
            prompt=request.prompt, negative_prompt=request.negative_prompt, height=size.height, width=size.width,
            num_frames=request.num_frames, guidance_scale=request.guidance_scale,
            num_latent_frames_per_chunk=tiny.OPTIONS["latents_per_chunk"],
            history_sizes=list(map(int, tiny.OPTIONS["history_sizes"].split(","))),
            image=None if image is None else Image.fromarray(image), **asked,
        ).frames[0]  # fmt: skip


def chunk_by_chunk(streamer, brief, monkeypatch):
    """The same of ours, before they are rounded."""
    shown = []
    with monkeypatch.context() as patch:
        whole = causal_vae.as_bytes
        patch.setattr(causal_vae, "as_bytes", lambda frames: shown.append(frames) or whole(frames))
        streamed.video(streamer, brief.model)
    return ((torch.cat(shown, dim=2)[0] + 1) / 2).permute(1, 2, 3, 0).numpy()


@pytest.mark.parametrize("image", [None, streamed.picture(1)], ids=["text", "picture"])
def test_chunk_by_chunk_equals_the_pipeline_in_one_call(pipeline, model, monkeypatch, image):
    brief = streamed.brief(model, image=image)
    theirs = in_one_call(pipeline, brief, monkeypatch, num_inference_steps=brief.request.steps)
    ours = chunk_by_chunk(Helios(pipeline, brief), brief, monkeypatch)
    assert len(ours) == 27 and len(theirs) == 25  # the pipeline cuts the last frames to four and one
    assert np.abs(ours[:25] - theirs).max() < 1e-4 and theirs.std() > 0.01


def test_the_state_stays_as_large_as_it_is_and_a_chunk_is_the_same_from_it_every_time(pipeline, model):
    streamer = Helios(pipeline, streamed.brief(model, steps=1, guidance_scale=1.0))
    lefts = [state.dumps(left) for _, left in streamed.chunks(streamer, model, 50)]
    assert len({len(left) for left in lefts}) == 1
    one, other = (
        Helios(pipeline, streamed.brief(model)).go_on(streamed.unit(model, 50), state.loads(lefts[-1]), lambda *_: None)
        for _ in range(2)
    )
    assert np.array_equal(one[0], other[0]) and state.dumps(one[1]) == state.dumps(other[1])


def test_a_later_prompt_and_a_later_seed_change_what_comes_after_and_no_frame_before(pipeline, model):
    at = model.chunk_frames
    own = streamed.video(Helios(pipeline, streamed.brief(model)), model)
    for change in ({"prompts": ((at, streamed.OTHER),)}, {"seeds": ((at, 9),)}):
        other = streamed.video(Helios(pipeline, streamed.brief(model, **change)), model)
        assert np.array_equal(own[:at], other[:at])
        assert all(not np.array_equal(own[i : i + at], other[i : i + at]) for i in (at, 2 * at))


def test_a_picture_is_what_the_video_begins_with(pipeline, model):
    first, again, other = (
        Helios(pipeline, streamed.brief(model, image=streamed.picture(seed))).begin(lambda *_: None)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first[0], again[0]) and not np.array_equal(first[0], other[0])
    assert not torch.equal(first[1]["first"], other[1]["first"])


def test_without_guidance_the_network_is_asked_for_one_video(pipeline, model, monkeypatch):
    asked = []
    whole = pipeline.transformer.forward
    monkeypatch.setattr(pipeline.transformer, "forward", lambda x, *a, **k: asked.append(len(x)) or whole(x, *a, **k))
    for scale in (1.0, 3.0):
        Helios(pipeline, streamed.brief(model, guidance_scale=scale)).begin(lambda *_: None)
    assert asked == [1, 1, 2, 2]


def test_every_step_is_told_and_may_be_the_last(pipeline, model):
    told = []
    streamer = Helios(pipeline, streamed.brief(model, steps=3))
    list(streamed.chunks(streamer, model, 2, lambda *step: told.append(step)))
    assert told == [(1, 3), (2, 3), (3, 3)] * 2

    def stop(done, of):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamer.begin(stop)


def released(scheduler=None, **transformer):
    """The facts of Helios-Base as far as they are read."""
    index = {"_class_name": "HeliosPipeline"}
    vae = {"scale_factor_temporal": 4, "scale_factor_spatial": 8}
    configs = {"vae": vae, "scheduler": {"stages": 1, **(scheduler or {})}, "transformer": transformer}
    return Facts(index, configs)


def test_the_release_is_described_as_it_was_made():
    model = helios.FAMILY.describe("helios", "BestWishYsh/Helios-Base", released())
    assert (model.chunk_frames, model.new_frames, model.fps, str(model.size)) == (33, 33, 24, "640x384")
    assert (model.default_steps, model.default_guidance_scale, model.licence) == (50, 5.0, "Apache-2.0")
    assert model.inputs == ("text", "image")
    assert dict(model.options) == {"history_sizes": "16,2,1", "latents_per_chunk": 9}
    shorter = helios.FAMILY.describe("helios", "here", released(), sizes=(Size(320, 192),), latents_per_chunk=5)
    assert (shorter.chunk_frames, str(shorter.size)) == (17, "320x192")


@pytest.mark.parametrize(
    ("facts", "options", "said"),
    [
        (released({"stages": 3}), {}, "scheduler has 3 stages"),
        (released({"scheduler_type": "dmd"}), {}, "solver is 'dmd'"),
        (released(has_multi_term_memory_patch=False), {}, "no patches for the past"),
        (released(), {"history_sizes": "16,2"}, "history_sizes is '16,2'; three numbers"),
        (released(), {"history_sizes": "16,x,1"}, "three numbers from 1 up"),
        (released(), {"latents_per_chunk": 0}, "latents_per_chunk is 0"),
        (released(), {"sizes": (Size(640, 360),)}, "multiples of 16"),
    ],
)
def test_what_cannot_be_streamed_is_refused_with_the_reason(facts, options, said):
    with pytest.raises(CatalogError, match=said):
        helios.FAMILY.describe("helios", "here", facts, **options)
