"""Causal Wan: a block looks at what is clear before it and at nothing later, and any worker can go on from a state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor

from models import families, state
from models.families.causal_wan import FAMILY
from models.families.family import Facts
from models.model import CatalogError, Model
from models.streamers import causal_vae
from models.streamers.causal_wan import CausalWan, Past, asked
from tests.support.tiny import causal_wan, streamed

FACTS = Facts({"_class_name": "WanPipeline"}, {"transformer": {}, "vae": {}})
BLOCK = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return causal_wan.build(tmp_path_factory.mktemp("causal") / "wan")


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    return streamed.pipeline(FAMILY, folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return streamed.model(FAMILY, folder, causal_wan.SIZE, **causal_wan.OPTIONS)


def streamer(pipeline: Any, model: Model, **changes: Any) -> CausalWan:
    return CausalWan(pipeline, streamed.brief(model, guidance_scale=1.0, **changes))


def drawn(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 4, frames, 4, 6, generator=torch.Generator().manual_seed(seed))


class Masked(WanAttnProcessor):
    """diffusers' own attention, with a mask wherever tokens look at each other."""

    def __init__(self, mask: torch.Tensor):
        super().__init__()
        self.mask = mask

    def __call__(self, attn: Any, x: Any, text: Any = None, mask: Any = None, rotary: Any = None) -> Any:
        return super().__call__(attn, x, text, self.mask if text is None else mask, rotary)


@pytest.fixture
def whole(pipeline: Any) -> Iterator[Any]:
    """What diffusers' network predicts of all blocks at once, each at a timestep of its own and blind to later ones."""
    network, own = pipeline.transformer, dict(pipeline.transformer.attn_processors)

    def predict(latents: torch.Tensor, times: list[float], text: torch.Tensor) -> torch.Tensor:
        places = BLOCK * 2 * 3  # tokens of a block
        number = torch.arange(len(times)).repeat_interleave(places)
        network.set_attn_processor(Masked(number[:, None] >= number[None, :]))
        told = torch.tensor(times).repeat_interleave(places)[None]
        made: torch.Tensor = network(latents, told, text, return_dict=False)[0]
        return made

    yield predict
    network.set_attn_processor(own)


@torch.no_grad()
def test_cached_keys_and_values_are_those_of_one_masked_pass(pipeline, whole):
    network, text, past = pipeline.transformer, torch.randn(1, 16, 32), Past()
    read, clear, noisy = network.condition_embedder.text_embedder(text), drawn(2 * BLOCK), drawn(BLOCK, seed=1)
    expected = whole(torch.cat([clear, noisy], dim=2), [0.0, 0.0, 640.0], text)
    blocks = [asked(network, part, 0.0, read, past, keep=True) for part in clear.split(BLOCK, dim=2)]
    made = torch.cat([*blocks, asked(network, noisy, 640.0, read, past)], dim=2)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        asked(network, noisy, 640.0, read, past), expected[:, :, 2 * BLOCK :], atol=1e-5, rtol=1e-5
    )


def test_frames_join_without_a_seam_as_one_decode_of_all_latents(pipeline, model, monkeypatch):
    kept, own = [], CausalWan.denoised

    def denoised(self, *given):
        kept.append(own(self, *given))
        return kept[-1]

    monkeypatch.setattr(CausalWan, "denoised", denoised)
    frames = streamed.video(streamer(pipeline, model), model, 4)
    once = causal_vae.as_bytes(causal_vae.alone(pipeline.vae, torch.cat(kept, dim=2)))
    assert len(frames) == 5 + 3 * 8 and np.array_equal(frames, once)


def test_a_block_looks_at_the_sink_and_the_window_and_at_no_latent_twice(pipeline, model):
    maker, latents = streamer(pipeline, model), torch.arange(20.0).view(1, 1, 20, 1, 1)
    looks = {}
    for index in range(6):
        past = latents[:, :, : index * BLOCK]
        looks[index] = maker._seen(index, past[:, :, -maker._kept :], past[:, :, :2]).flatten().tolist()
    assert looks == {
        0: [],
        1: [0, 1],
        2: [0, 1, 2, 3],
        3: [0, 1, 2, 3, 4, 5],
        4: [0, 1, 4, 5, 6, 7],
        5: [0, 1, 6, 7, 8, 9],
    }


def test_the_state_stays_as_large_as_it_is_and_a_chunk_is_the_same_from_it_every_time(pipeline, model):
    maker = streamer(pipeline, model, steps=1)
    left = [made for _, made in streamed.chunks(maker, model, 51)]
    assert len({len(state.dumps(one)) for one in left}) == 1
    again = [
        maker.go_on(streamed.unit(model, 9), state.loads(state.dumps(left[8])), lambda *_: None)[0] for _ in range(2)
    ]
    assert np.array_equal(*again)


def test_a_later_prompt_and_seed_change_later_frames_and_no_other(pipeline, model):
    at = streamed.frames(model, 2)
    plain = streamed.video(streamer(pipeline, model), model)
    for changed in ({"prompts": ((at, streamed.OTHER),)}, {"seeds": ((at, 9),)}):
        other = streamed.video(streamer(pipeline, model, **changed), model)
        assert np.array_equal(plain[:at], other[:at]) and not np.array_equal(plain[at:], other[at:])


def test_every_step_is_told_and_may_be_the_last(pipeline, model):
    told: list[tuple[int, int]] = []
    streamed.video(streamer(pipeline, model, steps=3), model, 1)
    streamer(pipeline, model, steps=3).begin(lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]

    def stop(done: int, of: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        streamer(pipeline, model).begin(stop)


def test_steps_are_at_self_forcings_levels(pipeline, model):
    levels = streamer(pipeline, model)._levels(4)
    assert [round(1000 * level) for level in levels] == [1000, 938, 833, 625]


def test_the_release_is_asked_as_it_was_made_for():
    model = FAMILY.describe("self-forcing", "somewhere", FACTS)
    assert (model.fps, model.chunk_frames, model.new_frames, model.default_steps) == (16, 9, 12, 4)
    assert (model.default_guidance_scale, model.max_guidance_scale) == (1.0, 1.0)
    assert str(model.size) == "832x480" and model.inputs == ("text",)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"window_latents": 7}, "window_latents is 7; a multiple of latents_per_chunk, 3, from 3 on"),
        ({"sink_latents": 1}, "sink_latents is 1"),
        ({"latents_per_chunk": 0}, "latents_per_chunk is 0"),
    ],
)
def test_windows_that_are_not_whole_blocks_are_refused(options, why):
    with pytest.raises(CatalogError, match=why):
        FAMILY.describe("x", "y", FACTS, **options)


@pytest.mark.parametrize(
    ("index", "transformer", "why"),
    [
        ({}, {"in_channels": 36}, "takes more than latents"),
        ({}, {"image_dim": 1280}, "reads pictures"),
        ({"transformer_2": ["diffusers", "WanTransformer3DModel"]}, {}, "two networks"),
    ],
)
def test_other_networks_of_wan_are_refused(index, transformer, why):
    with pytest.raises(CatalogError, match=why):
        FAMILY.describe("x", "y", Facts({"_class_name": "WanPipeline", **index}, {"transformer": transformer}))


def test_wans_own_checkpoints_are_not_taken_for_causal_ones():
    from longtake.models import recognised

    assert families.known()["causal-wan"].is_named
    assert recognised(FACTS, "somewhere", "causal-wan") is families.known()["causal-wan"]
    with pytest.raises(CatalogError, match="no family streams"):
        recognised(FACTS, "somewhere", None)
