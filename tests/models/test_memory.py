"""What fits where: presets change no picture, and the arithmetic of their needs is what torch really allocates."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers.hooks import HookRegistry
from safetensors import safe_open
from torch import nn

from models import catalog, kernels, state, systems
from models.first_chunk.loading import load_source
from models.first_chunk.source import Wish
from models.first_chunk.svd import StableVideoDiffusion
from models.loading import BUNDLED, load_pipeline
from models.memory import precision, shadow
from models.memory.budget import GIB, RESERVE_BYTES, Budget, bytes_of, choose, in_flight
from models.memory.live import peak_bytes
from models.memory.placement import OneByOne, place, place_beside
from models.memory.presets import AUTO, LARGE, MEDIUM, PRESETS, SMALL, Preset
from models.memory.published import NETWORKS
from models.memory.stages import Work, loads
from models.model import CheckpointError, Size
from models.recipe import Recipe
from models.request import RefineOptions, VideoRequest
from models.streaming_t2v.pipeline import StreamingPipeline
from service.settings import Settings
from tests.support import checkpoint, sources
from workers.settings import WorkerSettings
from workers.workshop import load

CPU = torch.device("cpu")
MODEL = replace(
    catalog.MODELS["tiny-shapes"], size=Size(32, 32), refined_size=Size(64, 64), window_frames=8, window_overlap=2
)
WORK = Work(MODEL.size, MODEL.refined_size, window_frames=8)
PROMPT = "a red circle moving right on a black background"
REQUEST = VideoRequest(
    PROMPT,
    num_frames=24,
    seed=3,
    steps=2,
    guidance_scale=2.0,
    anchor_guidance_scale=3.0,
    refine=RefineOptions(steps=2, strength=0.5),
)
EVERYTHING = Preset(
    "everything", 0, ("text_encoder", "vae", "first_chunk", "unet", "cam", "apm", "image_encoder", "refiner")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("checkpoint") / "random-shapes"
    checkpoint.make(place)
    return place


@pytest.fixture
def emptied() -> Iterator[None]:
    """Memory that nothing has been written to reads as NaN. Weights that rest in files leave nothing else behind."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def video(pipeline: StreamingPipeline) -> np.ndarray:
    """Every frame of a small video, previewed and refined, by every network there is."""
    made = [result.frames for _, result in Recipe(pipeline, MODEL, REQUEST).generate()]
    return np.concatenate([frames.reshape(-1) for frames in made]).astype(int)


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> np.ndarray:
    return video(load_pipeline(folder, device="cpu"))


def away(part: nn.Module) -> set[bool]:
    return {bool(parameter.isnan().all()) for parameter in part.parameters()}


def test_weights_that_are_fetched_layer_by_layer_change_no_bit_and_are_gone_afterwards(
    folder, undisturbed, emptied, tmp_path
):
    pipeline = place(load_pipeline(folder, device="cpu"), EVERYTHING, CPU, folder=tmp_path)
    networks = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    assert len(networks) == len(EVERYTHING.grouped)
    assert all(away(part) == {True} for part in networks)  # a weight used while it is away makes every frame NaN
    assert np.array_equal(video(pipeline), undisturbed)
    assert all(away(part) == {True} for part in networks)
    assert {part.device for part in networks if hasattr(part, "config")} == {CPU}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_every_preset_makes_the_same_video_with_only_its_grouped_weights_away(
    folder, undisturbed, emptied, tmp_path, preset
):
    pipeline = place(load_pipeline(folder, device="cpu"), preset, CPU, folder=tmp_path)
    # Sliced and taken one by one, sums are split in other places: the last bit of a float, one level of a pixel.
    assert np.abs(video(pipeline) - undisturbed).max() <= (0 if preset is LARGE else 1)
    for name, part in pipeline.components.items():
        if isinstance(part, nn.Module):
            assert away(part) == {name in preset.grouped}, name


@pytest.mark.parametrize("name", [systems.ANIMATEDIFF, systems.SVD])
def test_another_system_s_first_chunk_is_fetched_layer_by_layer_too(emptied, tmp_path, name):
    make = {systems.ANIMATEDIFF: sources.animatediff, systems.SVD: sources.stable_video}[name]
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    wish = Wish(
        PROMPT, negative_prompt="", image=picture, num_frames=16, height=64, width=64, seed=1, steps=1,
        guidance_scale=7.5,
    )  # fmt: skip

    def draw(preset: Preset) -> tuple[np.ndarray, set[bool]]:
        source = load_source(name, tmp_path / name, "cpu")
        if name == systems.SVD:
            source = StableVideoDiffusion(source.pipeline, height=64, width=64)
        place_beside(source.pipeline, preset, CPU, folder=tmp_path / preset.name)
        drawn = source.draw(wish, lambda step, steps: None)
        networks = [part for part in source.pipeline.components.values() if isinstance(part, nn.Module)]
        return drawn, set().union(*map(away, networks))

    make(tmp_path / name)
    (resident, stayed), (fetched, left) = draw(LARGE), draw(SMALL)
    assert np.array_equal(resident, fetched) and (stayed, left) == ({False}, {True})


def test_a_preset_is_asked_for_by_name(folder):
    pipeline = load_pipeline(folder, device="cpu", memory="medium")
    assert pipeline.memory is MEDIUM and pipeline.vae.use_slicing
    assert load_pipeline(folder, device="cpu").memory is LARGE
    with pytest.raises(ValueError, match="no memory preset 'tiny'; there is auto, small, medium, large"):
        load_pipeline(folder, device="cpu", memory="tiny")


def test_the_setting_knows_the_presets(monkeypatch):
    assert typing.get_args(Settings.model_fields["memory"].annotation) == (AUTO, *PRESETS)
    monkeypatch.setenv("LONGTAKE_MEMORY", "tiny")
    with pytest.raises(ValueError, match="should be 'auto', 'small', 'medium' or 'large'"):
        Settings()


def test_the_setting_reaches_the_pipeline_of_a_worker_and_of_generate(folder, monkeypatch):
    monkeypatch.setenv("LONGTAKE_MEMORY", "small")
    settings = WorkerSettings(checkpoints={"tiny-shapes": str(folder)}, device="cpu")
    assert load(catalog.find("tiny-shapes"), settings).memory is SMALL


def test_samples_one_by_one_are_predicted_as_in_a_batch_with_less_memory(folder):
    refiner = load_pipeline(folder, device="cpu").refiner
    torch.manual_seed(0)
    given = {
        "sample": torch.randn(2, 4, 8, 8, 8),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(2, 28, 64),
        "timestep_cond": torch.randn(2, 64),
    }
    together, needed = refiner(**given).sample, peak_bytes(lambda: refiner(**given))
    HookRegistry.check_if_exists_or_initialize(refiner).register_hook(OneByOne(), "one_by_one")
    torch.testing.assert_close(refiner(**given).sample, together, rtol=1e-4, atol=1e-5)
    assert peak_bytes(lambda: refiner(**given)) < 0.6 * needed
    with pytest.raises(TypeError, match="not encoder_hidden_states"):
        refiner(**given | {"encoder_hidden_states": refiner.context(given["encoder_hidden_states"])})


def test_pictures_within_a_tile_stay_as_they_are_and_larger_ones_need_less(folder):
    pipeline = load_pipeline(folder, device="cpu")
    decode = lambda side: pipeline.vae.decode(torch.ones(1, 4, side, side)).sample  # noqa: E731
    before, whole = decode(8), peak_bytes(lambda: decode(48))
    place(pipeline, replace(LARGE, vae_tile_px=64), CPU)
    assert torch.equal(decode(8), before)
    assert peak_bytes(lambda: decode(48)) < 0.6 * whole


@pytest.mark.parametrize(
    ("chosen", "dtype", "words"),
    [
        (precision.choose(CPU), torch.float32, "on a CPU half precision is slower"),
        (precision.choose(CPU, torch.float16), torch.float16, "was asked for"),
        (precision.of_capability((9, 0)), torch.bfloat16, "all of its range"),
        (precision.of_capability((7, 5)), torch.float16, "7.5 only imitates bfloat16"),
    ],
)
def test_numbers_are_chosen_with_a_reason(chosen, dtype, words):
    assert (chosen.networks, chosen.vae) == (dtype, torch.float32) and words in chosen.reason


def test_a_pipeline_runs_in_the_numbers_chosen_for_it(folder):
    pipeline = load_pipeline(folder, device="cpu", dtype=torch.bfloat16)
    dtypes = {name: part.dtype for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    assert dtypes.pop("vae") == torch.float32
    assert set(dtypes.values()) == {torch.bfloat16}
    assert video(pipeline).std() > 0


def test_latents_between_steps_are_float32_whatever_the_networks_are(folder):
    recipe = Recipe(load_pipeline(folder, device="cpu", dtype=torch.bfloat16), MODEL, REQUEST)
    chunks = (made for unit, made in recipe.generate() if unit.stage.is_chunk)
    handed_on = [state.loads(made.state)["latents"] for made in islice(chunks, 2)]
    assert MODEL.hold_known_frames and len(handed_on) == 2
    for latents in handed_on:  # were they bfloat16 at any step, the last one would leave none that bfloat16 cannot hold
        assert (latents != latents.bfloat16().float()).float().mean() > 0.5


def test_the_reason_for_a_float32_vae_holds():
    """One passage through the bundled VAE in bfloat16 changes more than an eighth of all values."""
    vae = load_pipeline("tiny-shapes", device="cpu").vae
    torch.manual_seed(0)
    frames = F.interpolate(torch.rand(4, 3, 8, 8) * 2 - 1, 64, mode="bilinear")
    levels = lambda x: ((x.float().clamp(-1, 1) + 1) * 127.5).round()  # noqa: E731
    with torch.no_grad():
        latents = vae.encode(frames).latent_dist.mode()
        exact = levels(vae.decode(latents).sample)
        vae.to(torch.bfloat16)
        changed = (levels(vae.decode(latents.bfloat16()).sample) - exact).abs()
    assert (changed > 0).float().mean() > 0.125


def test_live_bytes_are_those_of_a_count_by_hand():
    """x [256] float32 is 1024 bytes. Views and in-place results take none; what is let go of is free again."""
    weight = torch.ones(256)

    def run():
        x = torch.zeros(256)  # 1024
        y = x * weight  # 2048; the weight was there before
        y.add_(1).view(16, 16)
        del x  # 1024
        z = torch.cat([y, y])  # 3072: the peak
        del y, z
        return torch.ones(512)  # 2048

    assert peak_bytes(run) == 3072


def test_attention_is_counted_without_a_matrix_of_all_pairs():
    q = torch.empty(1, 2, 4096, 8, device="meta")
    assert peak_bytes(lambda: F.scaled_dot_product_attention(q, q, q)) == q.nbytes


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_what_blocks_have_made_before_is_counted_again(device):
    """Three times the same layers, of which all results are kept: 16 KiB each, where the split shares one of 32."""
    norm, wide = nn.LayerNorm(64, device=device), nn.Linear(64, 128, device=device)
    x, kept = torch.ones(64, 64, device=device), []

    def run():
        for _ in range(3):
            kept.extend((norm(x), *wide(x).split(64, dim=1)))

    assert peak_bytes(run) == 3 * (16 + 32) * 1024


def allocated(run) -> int:
    """The most that torch's CPU allocator had handed out at a time, by its own record."""
    run()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    events = record.profiler.kineto_results.events()
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    return int(np.cumsum(changes).max())


@pytest.mark.parametrize("stage", ["first chunk", "streaming step", "refining step", "encode", "decode"])
def test_the_arithmetic_is_what_torch_allocates(stage, monkeypatch):
    """Counted without numbers, against the allocator while the same networks really compute. oneDNN needs no more."""
    parts = load_pipeline("tiny-shapes", device="cpu").components
    counted = stages_of(shadow.shadows(parts, precision.choose(CPU)))[stage]
    networks = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    real = stages_of(networks, device="cpu")[stage]
    # A VAE is at its fullest in a convolution, for which a CPU reorders what it reads and writes.
    workspace = 1.3 if stage in ("encode", "decode") else 1.01
    with torch.no_grad():
        by_onednn = allocated(real.run)
        monkeypatch.setattr(kernels, "_onednn", None)
        needed = allocated(real.run)
    assert needed / workspace <= peak_bytes(counted.run) <= needed
    assert by_onednn <= 1.01 * needed


def stages_of(parts, device="meta"):
    return {load.stage: load for load in loads(parts, WORK, LARGE, device)}


def test_weights_are_counted_as_the_files_have_them():
    parts = load_pipeline("tiny-shapes", device="cpu").components
    for name, part in shadow.shadows(parts, precision.of_capability((8, 0))).items():
        (file,) = (BUNDLED / "tiny-shapes" / name).glob("*.safetensors")
        with safe_open(file, "pt") as opened:
            numbers = sum(opened.get_tensor(key).numel() for key in opened.keys())  # noqa: SIM118
        ours = sum(parameter.nbytes for parameter in part.parameters())
        assert ours == numbers * (4 if name == "vae" else 2), name


@pytest.fixture(scope="module")
def published() -> Budget:
    with torch.device("meta"):
        networks = {name: make() for name, make in NETWORKS.items()}
    parts = shadow.in_precision(networks, precision.of_capability((8, 0)))
    return Budget(parts, [Work(*pair) for pair in catalog.MODELS["streaming-t2v"].pairs])


@pytest.mark.long  # the table that `longtake models show` prints of it is looked at in tests/longtake
@pytest.mark.timeout(900)
def test_the_published_model_fits_the_cards_that_the_presets_are_meant_for(published):
    """Cards report less than their name says: one of 16 GiB 14.7 or more, one of 24 GiB 22.0 or more."""
    assert [preset.card_gib for preset in PRESETS.values()] == [16, 24, 80]
    for preset in PRESETS.values():
        assert published.fits(preset, int(0.917 * preset.card_gib * GIB)), preset.name
    # ... and what a preset does without is what makes it fit.
    assert not published.fits(MEDIUM, 16 * GIB) and not published.fits(LARGE, 24 * GIB)
    assert not published.fits(replace(SMALL, guidance_together=True), 16 * GIB)
    assert {need.size for need in published.needs(SMALL)} >= {Size(720, 720), Size(1280, 720)}


def test_the_published_networks_have_the_published_sizes(published):
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in published.parts.items()}
    assert counts == {
        "text_encoder": 340_387_840,
        "vae": 83_653_863,
        "first_chunk": 1_411_233_860,
        "unet": 1_480_478_804,
        "cam": 621_981_664,
        "apm": 22_299_904,
        "image_encoder": 632_076_800,
        "refiner": 1_411_233_860,
        "refiner_text_encoder": 340_387_840,
        "refiner_vae": 83_653_863,
    }  # as in docs/checkpoints.md, counted from converted files


def test_a_grouped_network_takes_two_of_its_layers():
    network = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 30, bias=False), nn.Linear(30, 5, bias=False))
    assert (bytes_of(network), in_flight(network)) == (4 * 550, 4 * 450)


@pytest.fixture(scope="module")
def small_budget(folder) -> Budget:
    parts = load_pipeline(folder, device="cpu").components
    return Budget(shadow.shadows(parts, precision.of_capability((8, 0))), [WORK])


def test_the_preset_with_the_most_memory_that_fits_is_chosen(small_budget):
    needed = {name: small_budget.peak(preset).total + RESERVE_BYTES for name, preset in PRESETS.items()}
    assert needed["small"] < needed["medium"] < needed["large"]
    for name, size in needed.items():
        assert choose(small_budget, size, "a GPU").name == name
    assert choose(small_budget, needed["medium"] - 1, "a GPU").name == "small"
    assert choose(small_budget, needed["large"], "a GPU", SMALL) is SMALL


def test_a_device_that_is_too_small_is_named_with_what_is_needed(small_budget):
    with pytest.raises(CheckpointError, match=r"Card has 1\.0 GiB .* even the preset 'small' needs 1\.5 GiB \(.+\)"):
        choose(small_budget, GIB, "Card")
    with pytest.raises(CheckpointError, match="the preset 'large' needs .* 'auto' takes one that fits"):
        choose(small_budget, GIB, "Card", LARGE)
