"""A first chunk by any clip model that diffusers can load: asked as it was released, and shown as the chunk is."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cache

import diffusers
import numpy as np
import pytest
from PIL import Image

from models import catalog, noise, pixels, releases, systems
from models.families.family import Facts
from models.first_chunk.loading import load_source
from models.model import CheckpointError, Size
from models.recipe import Recipe
from models.request import Brief
from models.streaming_t2v.sampler import ignore
from models.units import Stage
from tests.models.first_chunk.asked import PICTURE, REQUEST, WISH
from tests.support import sources
from tests.support.tiny import framepack, last_frame, ltx, mochi

SMALL = Size(64, 32)
#: What builds it, and how many frames of it are two seconds, less an eighth, and of its form.
TEXTS = {
    "wan": (last_frame.build_text, 33),
    "ltx": (ltx.build_text, 49),
    "cogvideox": (last_frame.build_cogvideox_text, 17),
    "hunyuan": (framepack.build_hunyuan, 49),
    "mochi": (mochi.build_text, 61),
}
PICTURES = {
    "wan": (last_frame.build, 33),
    "wan-five": (last_frame.build_five, 49),
    "ltx": (ltx.build_image_to_video, 49),
    "cogvideox": (last_frame.build_cogvideox, 17),
}
MODELS = {"diffusers": TEXTS, "diffusers-i2v": PICTURES}
ALL = [(system, kind) for system, kinds in MODELS.items() for kind in kinds]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The source of a kind, whose networks are so small that they are asked for small frames."""
    root = tmp_path_factory.mktemp("released")

    @cache
    def load(system, kind):
        source = load_source(system, MODELS[system][kind][0](root / f"{system}-{kind}"), "cpu")
        source.release = replace(source.release, sizes=(SMALL,))
        return source

    return load


@pytest.mark.parametrize(("system", "kind"), ALL)
def test_a_chunk_is_the_first_seconds_of_the_pipelines_own_clip(drawn, system, kind, tmp_path):
    source, count = drawn(system, kind), MODELS[system][kind][1]
    release = source.release
    size = release.size_for(Size(64, 64))
    frames = source.draw(replace(WISH, negative_prompt="rain"), ignore)
    asked = {"prompt": WISH.prompt, "negative_prompt": "rain", "height": size.height, "width": size.width}
    asked |= {"num_frames": count, "num_inference_steps": 2, "guidance_scale": 7.5}
    if kind == "ltx":
        asked |= {"frame_rate": 25, "decode_timestep": 0.05, "decode_noise_scale": 0.025}
    if source.needs_image:
        canvas, place = WISH.framed(size.height, size.width)
        asked["image"] = Image.fromarray(canvas)
    own = type(source.pipeline)(**source.pipeline.components, **extras(source.pipeline))
    own.set_progress_bar_config(disable=True)
    clip = own(generator=noise.generator(seed=1, stage="first-chunk", index=0), output_type="np", **asked).frames[0]
    shown = (clip[[round(i * release.fps / 8) for i in range(16)]] * 255).round().astype(np.uint8)
    if source.needs_image:
        shown = shown[:, *place]
    assert len(clip) == count and frames.shape == (16, 64, 64, 3)
    assert np.array_equal(frames, pixels.fit(shown, 64, 64)) and frames.std() > 1


def extras(pipeline):
    """What is no component of it."""
    return {name: value for name, value in pipeline.config.items() if name == "expand_timesteps"}


def test_steps_guidance_and_negative_prompt_are_the_releases_where_none_are_asked_for(drawn):
    source = copy(drawn("diffusers-i2v", "ltx"))
    source.release = release = replace(source.release, steps=3, guidance_scale=2.5)
    model = replace(catalog.find("tiny-shapes"), first_chunk_steps=0, first_chunk_guidance_scale=0.0)
    left = replace(REQUEST, steps=model.default_steps, guidance_scale=model.default_guidance_scale, image=PICTURE)
    wish = Brief(model, left).wish()
    plain = source.draw(wish, ignore)
    told = replace(wish, steps=3, guidance_scale=2.5, negative_prompt=release.negative_prompt)
    assert np.array_equal(plain, source.draw(told, ignore))
    for other in ({"steps": 2}, {"guidance_scale": 4.0}, {"negative_prompt": "rain"}):
        asked = Brief(model, replace(left, **other)).wish()
        assert not np.array_equal(plain, source.draw(asked, ignore)), other


@pytest.mark.parametrize(("system", "kind"), [("diffusers", "wan"), ("diffusers-i2v", "wan-five")])
def test_the_streaming_network_goes_on_from_it(pipeline, drawn, system, kind):
    source = drawn(system, kind)
    model = replace(catalog.find("tiny-shapes"), first_chunk=system, first_chunk_steps=1)
    request = replace(REQUEST, image=PICTURE if source.needs_image else None)
    results = Recipe(pipeline, model, request, {system: source}).generate()
    frames = np.concatenate([result.frames for unit, result in results if unit.stage is not Stage.REFINE])
    assert frames.shape == (24, 64, 64, 3)
    assert np.array_equal(frames[:16], source.draw(Brief(model, request).wish(), ignore))


def test_every_step_is_told_and_can_break_off(drawn):
    source, told = drawn("diffusers", "wan"), []
    source.draw(WISH, lambda *progress: told.append(progress))
    assert told == [(1, 2), (2, 2)]

    def stop(done, of):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        source.draw(WISH, stop)


def test_another_seed_makes_another_clip_and_the_same_one_the_same(drawn):
    source = drawn("diffusers-i2v", "cogvideox")
    first, again, other = (source.draw(replace(WISH, seed=seed), ignore) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_clip_shorter_than_the_chunk_is_refused(drawn):
    source = drawn("diffusers", "cogvideox")
    with pytest.raises(CheckpointError, match="CogVideoXPipeline makes 6.1 s, and a first chunk has 6.2 s"):
        source.draw(replace(WISH, num_frames=51), ignore)
    assert source.draw(replace(WISH, num_frames=49), ignore).shape == (49, 64, 64, 3)


def test_what_is_no_clip_model_is_refused_with_those_there_are(tmp_path):
    folder = last_frame.build(tmp_path / "wan")
    with pytest.raises(CheckpointError, match="is a WanImageToVideoPipeline; there is WanPipeline, LTXPipeline, "):
        load_source(systems.DIFFUSERS, folder, "cpu")
    picture = sources.stable_video(tmp_path / "svd", num_frames=14)
    with pytest.raises(CheckpointError, match="makes 2 s, and a first chunk has 2.1 s"):
        load_source(systems.DIFFUSERS_I2V, picture, "cpu").draw(replace(WISH, num_frames=18), ignore)


def test_a_call_is_no_longer_than_it_must_be():
    wan, svd = releases.TEXTS[2], releases.PICTURES[-1]
    assert [wan.frames_for(s) for s in (15 / 8, 2.0, 5.0, 5.01)] == [33, 33, 81, None]
    assert [svd.frames_for(s) for s in (1.0, 24 / 7, 4.0)] == [25, 25, None]


@pytest.mark.parametrize(
    ("pipeline", "shape", "size"),
    [
        ("WanPipeline", "256x256", "624x624"),
        ("WanPipeline", "448x256", "832x480"),
        ("LTXPipeline", "256x256", "608x608"),
        ("CogVideoXPipeline", "256x256", "720x480"),
        ("MochiPipeline", "256x448", "848x480"),
    ],
)
def test_frames_are_asked_for_in_the_shape_of_the_video_where_the_networks_know_it(pipeline, shape, size):
    release = releases.find(releases.TEXTS, Facts({"_class_name": pipeline}))
    assert str(release.size_for(Size(*map(int, shape.split("x"))))) == size


@pytest.mark.parametrize("release", [*releases.TEXTS, *releases.PICTURES], ids=lambda release: release.pipeline)
def test_a_releases_numbers_are_of_its_own_form(release):
    assert release.frames % release.every == release.rest % release.every
    assert all(side % release.side_of == 0 for size in release.sizes for side in (size.width, size.height))
    assert hasattr(diffusers, release.pipeline)
