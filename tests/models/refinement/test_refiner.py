"""Promises of the refiner, kept by real (small, untrained) networks of diffusers."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from safetensors.torch import load, save

from models import catalog, units
from models.refinement.refiner import Refiner, RefinerSettings, Text
from models.refinement.schedule import LogSNRCosineSchedule
from models.tiles import Tile

FIRST = Tile(0, 0)
SETTINGS = RefinerSettings(strength=0.5, steps=3, guidance_scale=2.0, window_frames=6, window_overlap=2)
PREVIEW = np.random.default_rng(0).integers(0, 256, (13, 8, 8, 3), dtype=np.uint8)  # [F, h, w, 3]


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        scaling_factor=3.0,  # its untrained latents are small; as for a trained one, unit variance is meant
    ).eval()


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(1)
    network = UNet3DConditionModel(
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=12,
        time_cond_proj_dim=5,
    )
    for parameter in network.parameters():  # its temporal layers start at zero, and would not mix frames
        torch.nn.init.normal_(parameter, std=0.15)
    return network.eval()


def text(seed, from_frame=0):
    draw = lambda *shape: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))  # noqa: E731
    return Text(draw(7, 12), torch.zeros(7, 12), draw(5), torch.zeros(5), from_frame)


@pytest.fixture
def refiner(unet, vae):
    def build(num_frames=len(PREVIEW), seed=7, texts=None, **changes):
        settings = dataclasses.replace(SETTINGS, **changes)
        schedule = LogSNRCosineSchedule()
        return Refiner(
            unet,
            vae,
            schedule,
            texts or [text(1)],
            num_frames=num_frames,
            height=16,
            width=16,
            seed=seed,
            settings=settings,
        )

    return build


def tile_by_tile(refiner, frames):
    """As the service runs it: every tile in a fresh process, from the bytes that those before it left."""
    left, done, tiling = {}, [], refiner.tiling
    for tile in tiling.tiles:
        state = load(left[tiling.before(tile)]) if tiling.before(tile) else None
        feeds = [load(left[feed]) for feed in tiling.feeds(tile)]
        refined, state = refiner.run(tile, frames[slice(*refiner.enters(tile))], state, feeds)
        first, stop = refiner.leaves(tile)
        assert len(refined) == (stop - first if tiling.is_last(tile) else 0)
        left[tile] = save(state)
        done.append(refined)
    return np.concatenate(done)


@pytest.mark.parametrize("bands", [1, 2, 3, 9])
@pytest.mark.parametrize("num_frames", [1, 6, 7, 13])
def test_tile_by_tile_and_all_at_once_give_the_same_frames(refiner, num_frames, bands):
    whole = refiner(num_frames).refine(PREVIEW[:num_frames])
    assert whole.shape == (num_frames, 16, 16, 3) and whole.dtype == np.uint8
    assert np.array_equal(whole, tile_by_tile(refiner(num_frames, bands=bands), PREVIEW[:num_frames]))


@pytest.mark.parametrize("bands", [1, 2])
def test_its_tiles_are_the_units_of_the_plan(refiner, bands):
    model = dataclasses.replace(catalog.find(catalog.DEFAULT_MODEL), window_frames=6, window_overlap=2)
    refiner = refiner(13, bands=bands)
    planned = [u for u in units.plan(model, 13, SETTINGS.steps, refine_bands=bands) if u.stage is units.Stage.REFINE]
    assert len(planned) == len(refiner.tiling.tiles)
    for unit, tile in zip(planned, refiner.tiling.tiles, strict=True):
        first, stop = refiner.leaves(tile) if refiner.tiling.is_last(tile) else (0, 0)
        assert (unit.first_frame, unit.num_frames) == (first, stop - first)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"texts": [text(2)]},
        {"steps": 4},
        {"strength": 0.9},
        {"guidance_scale": 4.0},
        {"guidance_rescale": 0.0},
        {"eta": 0.0},
        {"blending": "middle"},
        {"start": "consistent"},
        {"resize": "bicubic"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_wish_takes_effect(refiner, change):
    assert not np.array_equal(refiner().refine(PREVIEW), refiner(**change).refine(PREVIEW))


def test_little_strength_stays_close_to_the_preview(refiner, vae):
    def distance(strength):
        refined = refiner(strength=strength, guidance_scale=1.0, start="consistent").refine(PREVIEW)
        return np.abs(refined.astype(float) - autoencoded(vae)).mean()

    assert distance(0.005) < 10 < distance(0.5)  # of 255


def autoencoded(vae):
    """The preview, enlarged and through the VAE, with nothing refined."""
    x = torch.from_numpy(PREVIEW).permute(0, 3, 1, 2) / 127.5 - 1
    x = torch.nn.functional.interpolate(x, (16, 16), mode="bilinear")
    with torch.no_grad():
        x = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
    return ((x + 1) * 127.5).permute(0, 2, 3, 1).numpy()


def test_a_prompt_takes_over_where_it_says(refiner):
    alone = refiner().refine(PREVIEW)
    later = refiner(texts=[text(1), text(2, from_frame=9)]).refine(PREVIEW)
    changed = np.abs(alone.astype(int) - later).max(axis=(1, 2, 3))
    assert changed[-1] > 0
    assert np.array_equal(later, tile_by_tile(refiner(texts=[text(2, from_frame=9), text(1)]), PREVIEW))


def test_progress_counts_the_looks_of_the_network_and_may_stop_the_work(refiner):
    seen = []
    refiner().run(FIRST, PREVIEW[:6], on_step=lambda *progress: seen.append(progress))
    assert seen == [(1, 1)]

    def stop(done, of):
        raise KeyboardInterrupt

    _, state = refiner().run(FIRST, PREVIEW[:6])
    before = save(state)
    with pytest.raises(KeyboardInterrupt):
        refiner().run(Tile(1, 0), PREVIEW[6:10], state, on_step=stop)
    assert save(state) == before


def test_frames_and_states_that_do_not_fit_are_refused(refiner):
    with pytest.raises(ValueError, match="takes frames 0 to 6, not 5"):
        refiner().run(FIRST, PREVIEW[:5])
    with pytest.raises(ValueError, match="without a state"):
        refiner().run(Tile(1, 0), PREVIEW[6:10])
    with pytest.raises(ValueError, match="takes frames from 2 tiles, not 0"):
        refiner(bands=3).run(Tile(1, 1), PREVIEW[:0])


class Elsewhere:
    """A network on a device of its own: it takes nothing from the CPU, and answers as if it had just arrived there."""

    device, dtype = torch.device("meta"), torch.float32

    def __init__(self, network):
        self.config, self._factor, self.frames = network.config, 2, []

    def __call__(self, sample, timestep, **inputs):
        assert all(given.is_meta for given in (sample, timestep, *inputs.values()))
        self.frames.append(sample.shape[2])
        return SimpleNamespace(sample=torch.ones(sample.shape))

    def encode(self, pixels):
        assert pixels.is_meta
        self.frames.append(len(pixels))
        shape = len(pixels), 4, pixels.shape[2] // self._factor, pixels.shape[3] // self._factor
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: torch.ones(shape)))

    def decode(self, latents):
        assert latents.is_meta
        self.frames.append(len(latents))
        return SimpleNamespace(sample=torch.ones(len(latents), 3, *(self._factor * side for side in latents.shape[2:])))


def test_networks_are_handed_a_window_at_a_time_and_nothing_stays_with_them(unet, vae):
    frames, far, beside = np.repeat(PREVIEW, 3, axis=0), Elsewhere(unet), Elsewhere(vae)
    refiner = Refiner(
        far, beside, LogSNRCosineSchedule(), [text(1)], num_frames=39, height=16, width=16, seed=1, settings=SETTINGS
    )
    state = None
    for tile in refiner.tiling.tiles:
        _, state = refiner.run(tile, frames[slice(*refiner.enters(tile))], state)
        assert all(tensor.device.type == "cpu" for tensor in state.values())
    assert max(far.frames) == SETTINGS.window_frames and max(beside.frames) <= SETTINGS.vae_batch
