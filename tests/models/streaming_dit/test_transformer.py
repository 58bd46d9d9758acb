"""A diffusion transformer with CAM and APM: Wan's own until it has learned, and a streaming network like the UNet."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch import nn

from models import catalog
from models.loading import load_pipeline
from models.recipe import Recipe
from models.request import default_request
from models.streaming_dit.cam import ConditionalAttentionTransformer
from models.streaming_dit.transformer import StreamingTransformer3D
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.context import Context
from models.streaming_t2v.pipeline import StreamingPipeline
from tests.support import checkpoint

SIZE = {"num_attention_heads": 2, "attention_head_dim": 16, "text_dim": 64, "ffn_dim": 64, "freq_dim": 32}
LATENTS, TOKENS = (2, 4, 16, 8, 8), (2, 28, 64)
TIMES = torch.tensor([3.0, 700.0])


def network(**changed: object) -> StreamingTransformer3D:
    torch.manual_seed(0)
    size = {**SIZE, "num_layers": 4, "injected_blocks": 2, "num_text_tokens": TOKENS[1], "norm_num_groups": 4}
    return StreamingTransformer3D(**size | changed).eval()


def copy(**changed: object) -> ConditionalAttentionTransformer:
    torch.manual_seed(1)
    return ConditionalAttentionTransformer(**{**SIZE, "num_layers": 2, "embedding_channels": (4,) * 5} | changed).eval()


def awake(module: nn.Module) -> nn.Module:
    """As after some training: nothing is zero."""
    torch.manual_seed(2)
    for weight in module.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.5)
    return module


def drawn(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_without_memory_and_anchor_it_is_wans_transformer_and_takes_its_weights():
    ours = network()
    sizes = {key: value for key, value in SIZE.items() if key != "num_layers"}
    wan = WanTransformer3DModel(patch_size=(1, 2, 2), in_channels=4, out_channels=4, num_layers=4, **sizes).eval()
    wan.load_state_dict({name: weight for name, weight in ours.state_dict().items() if name in wan.state_dict()})
    x, tokens = drawn(*LATENTS), drawn(*TOKENS)
    assert torch.equal(ours(x, TIMES, tokens).sample, wan(x, TIMES, tokens).sample)


@torch.no_grad()
def test_fresh_memory_and_anchor_change_nothing_and_learned_ones_do():
    x, tokens, image = drawn(*LATENTS), drawn(*TOKENS), drawn(2, 16, 64)
    unet, cam = network(), copy()
    frames = drawn(2, 8, 3, 64, 64)
    alone = unet(x, TIMES, tokens).sample

    def remembered() -> torch.Tensor:
        memory = cam(x, TIMES, cam.context(tokens), cam.embed(frames))
        return unet(x, TIMES, unet.context(tokens), memory=memory).sample

    assert torch.equal(remembered(), alone)
    assert torch.equal(unet(x, TIMES, unet.anchored_context(tokens, image)).sample, alone)
    awake(unet), awake(cam)
    alone = unet(x, TIMES, tokens).sample
    assert not torch.allclose(remembered(), alone)
    assert not torch.allclose(unet(x, TIMES, unet.anchored_context(tokens, image)).sample, alone)


@torch.no_grad()
def test_memory_hears_the_known_frames_and_no_other():
    cam = awake(copy())
    x, tokens, frames = drawn(*LATENTS), drawn(*TOKENS), drawn(2, 8, 3, 64, 64)
    features = cam(x, TIMES, cam.context(tokens), cam.embed(frames)).skips
    assert [tuple(f.shape) for f in features] == [(16, 32, 4, 4)] * 2
    later = x.clone()
    later[:, :, 8:] = 0
    again = cam(later, TIMES, cam.context(tokens), cam.embed(frames)).skips
    assert all(torch.equal(one, other) for one, other in zip(features, again, strict=True))
    other = cam(x, TIMES, cam.context(tokens), cam.embed(frames.flip(1))).skips
    assert not torch.allclose(features[0], other[0])
    assert len(cam(x, TIMES, cam.context(tokens), cam.embed(frames), shallow=True).skips) == 1


@torch.no_grad()
def test_latents_given_once_stand_for_all_branches_of_guidance():
    unet, cam = awake(network(coordinates=True)), awake(copy(coordinates=True))
    x, tokens, frames = drawn(1, *LATENTS[1:]), drawn(*TOKENS), drawn(1, 8, 3, 64, 64)

    def asked(latents: torch.Tensor) -> torch.Tensor:
        memory = cam(latents, TIMES[:1], cam.context(tokens), cam.embed(frames))
        return unet(latents, TIMES[:1], unet.context(tokens), memory=memory).sample

    once = asked(x)
    assert once.shape == LATENTS
    torch.testing.assert_close(once, asked(x.expand(2, -1, -1, -1, -1)), atol=1e-5, rtol=1e-5)
    joined = Context.of_all([unet.context(tokens[:1]), unet.context(tokens[1:])])
    torch.testing.assert_close(
        unet(x, TIMES[:1], joined).sample, unet(x, TIMES[:1], unet.context(tokens)).sample, atol=1e-5, rtol=1e-5
    )


def test_more_injectors_than_blocks_are_refused():
    with pytest.raises(ValueError, match="injected_blocks is 9, of 4 blocks"):
        network(injected_blocks=9)


def test_it_stands_in_the_unets_place_of_a_checkpoint_and_streams(tmp_path: Path):
    """Saved, loaded and asked as any checkpoint is; every chunk depends on the memory and the anchor."""
    checkpoint.make(tmp_path / "unet")
    parts = load_pipeline(tmp_path / "unet", device="cpu")
    unet, cam = awake(network(num_text_tokens=parts.unet.config.num_text_tokens)), awake(copy())
    apm = AppearancePreservationModule(parts.image_encoder.config.projection_dim, 16, 16, 64)
    StreamingPipeline(**{**parts.components, "unet": unet, "cam": cam, "apm": apm}).save_pretrained(tmp_path / "dit")
    model = catalog.find("tiny-shapes")
    request = default_request(
        model, "a red circle moving left on a black background", num_frames=32, seed=1, refine=False
    )
    videos = []
    for ablation in ({}, {}, {"use_cam": False}, {"use_apm": False}):
        recipe = Recipe(load_pipeline(tmp_path / "dit", device="cpu"), model, request, **ablation)
        videos.append(torch.cat([torch.from_numpy(made.frames) for _, made in recipe.generate()]))
    assert torch.equal(videos[0], videos[1]) and len(videos[0]) == 32
    assert torch.equal(videos[0][:16], videos[2][:16])  # the first chunk is another network's
    assert not torch.equal(videos[0], videos[2]) and not torch.equal(videos[0], videos[3])
