"""A causal VAE's latents in pieces: the frames of one decode, by features handed over or by latents decoded again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

from models import state
from models.streamers import causal_vae
from tests.support.tiny.streamed import picture
from tests.support.tiny.wan import wan_vae

KINDS = {
    "wan-2.1": {},
    "wan-2.2": {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12, "decoder_base_dim": 4},
}
CUTS = (1, 7, 9, 3, 20)  # latents of each piece


@pytest.fixture(scope="module", params=KINDS)
def vae(request):
    return wan_vae(**KINDS[request.param])


@pytest.fixture(scope="module")
def latents():
    return torch.randn(1, 4, sum(CUTS), 4, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def whole(vae, latents):
    return causal_vae.alone(vae, latents)


def attributes(vae):
    return {name: value for name, value in vars(vae).items() if not name.startswith(("_modules", "_parameters"))}


def longing(vae):
    """The VAE with every convolution's eye on the earliest frame that it sees, so that none goes unnoticed."""
    for part in vae.decoder.modules():
        if isinstance(part, WanCausalConv3d) and part.kernel_size[0] > 1:
            part.weight.data[:, :, 0] *= 2
    return vae


def test_pieces_with_the_features_handed_over_are_one_decode(vae, latents, whole):
    before, frames = None, []
    for piece in latents.split(CUTS, dim=2):
        made, left = causal_vae.decode(vae, piece, before)
        before = state.loads(state.dumps(left))
        frames.append(made)
    assert [made.shape[2] for made in frames] == [4 * cut - (i == 0) * 3 for i, cut in enumerate(CUTS)]
    assert (torch.cat(frames, dim=2) - whole).abs().max() < 1e-5 and whole.std() > 0.01


def test_a_piece_after_as_many_latents_as_the_decoder_looks_back_at_is_the_same_and_with_one_less_it_is_not(vae):
    far = causal_vae.looks_back(vae)
    latents = torch.randn(1, 4, far + 6, 4, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    vae = longing(wan_vae(**KINDS["wan-2.2" if vae.config.is_residual else "wan-2.1"])).double()
    last = causal_vae.alone(vae, latents)[:, :, -8:]
    differences = []
    for seen in (far, far - 1, 4):
        made, _ = causal_vae.decode(vae, latents[:, :, -2 - seen :], skip=seen)
        differences.append(float((made - last).abs().max()))
    exact, nearly, short = differences
    assert exact < 1e-6 and 1e-5 < nearly < short


def test_the_features_stay_as_large_as_they_are(vae, latents):
    before, sizes = None, []
    for piece in latents[:, :, :8].split(2, dim=2):
        _, before = causal_vae.decode(vae, piece, before)
        sizes.append(len(state.dumps(before)))
    assert len(set(sizes)) == 1


def test_nothing_stays_in_the_vae_and_what_was_in_it_changes_nothing(vae, latents, whole):
    vae.clear_cache()
    before = {name: repr(value) for name, value in attributes(vae).items()}
    first, left = causal_vae.decode(vae, latents[:, :, :4])
    assert {name: repr(value) for name, value in attributes(vae).items()} == before
    causal_vae.alone(vae, latents[:, :, :3] * 2)
    causal_vae.decode(vae, latents[:, :, 5:9] * 3)
    then, _ = causal_vae.decode(vae, latents[:, :, 4:], left)
    assert (torch.cat([first, then], dim=2) - whole).abs().max() < 1e-5


def test_frames_become_latents_of_the_scale_that_is_decoded(vae):
    video = causal_vae.picture(picture(1), 32, 48).expand(-1, -1, 9, -1, -1)
    latents = causal_vae.encode(vae, video)
    assert latents.shape == (1, 4, 3, *((2, 3) if vae.config.patch_size else (4, 6)))
    raw = vae.encode(video).latent_dist.mean
    mean, deviation = (torch.tensor(n).view(1, -1, 1, 1, 1) for n in (vae.config.latents_mean, vae.config.latents_std))
    assert torch.allclose(latents * deviation + mean, raw, atol=1e-5)
    assert torch.allclose(causal_vae.alone(vae, latents), vae.decode(raw).sample, atol=1e-5)
    drawn = causal_vae.encode(vae, video, torch.ones_like(latents))
    assert torch.allclose((drawn - latents) * deviation, vae.encode(video).latent_dist.std, atol=1e-5)


def test_a_picture_and_its_bytes_are_the_same():
    shown = picture(1)
    assert np.array_equal(causal_vae.as_bytes(causal_vae.picture(shown, 40, 60))[0], shown)


def test_what_the_released_vae_would_leave_is_as_large_as_it_is_said_to_be():
    with torch.device("meta"):
        vae = AutoencoderKLWan()  # the configuration of Wan 2.1
    assert causal_vae.looks_back(vae) == 38
    for (height, width), features, latents in (((544, 960), 4.94, 19.8), ((384, 640), 2.32, 9.3)):
        cache, shape = [None] * 400, (height // 8, width // 8)
        for i in range(3):
            vae.decoder(torch.empty(1, 16, 1, *shape, device="meta"), feat_cache=cache, feat_idx=[0], first_chunk=not i)
        held = sum(kept.numel() * 4 for kept in cache if kept is not None)
        assert held / 1e9 == pytest.approx(features, abs=0.005)
        assert 38 * 16 * shape[0] * shape[1] * 4 / 1e6 == pytest.approx(latents, abs=0.05)
