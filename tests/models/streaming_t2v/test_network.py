"""The streaming network is diffusers' own where nothing is added, and new modules begin without effect."""

import pytest
import torch
from diffusers import UNet3DConditionModel

from models.streaming_t2v.cam import ConditionalAttentionModule, FrameEmbedding, Injector
from models.streaming_t2v.unet import StreamingUNet3D

SMALL = {
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 16,
    "attention_head_dim": 8,
}
OURS = {"num_text_tokens": 5, "num_image_tokens": 3}


@pytest.fixture
def given():
    draw = torch.Generator().manual_seed(0)
    return {
        "sample": torch.randn(2, 4, 16, 9, 6, generator=draw),  # odd sizes: the way up follows the skips
        "text": torch.randn(2, 5, 16, generator=draw),
        "image": torch.randn(2, 3, 16, generator=draw),
        "frames": torch.rand(2, 8, 3, 72, 48, generator=draw) * 2 - 1,
    }


@pytest.fixture
def unet():
    torch.manual_seed(1)
    return StreamingUNet3D(**SMALL, **OURS).eval()


@pytest.fixture
def cam():
    torch.manual_seed(2)
    network = {key: value for key, value in SMALL.items() if key != "up_block_types"}
    return ConditionalAttentionModule(**network, embedding_channels=(4, 4, 8, 8)).eval()


@torch.no_grad()
def test_without_cam_and_apm_it_is_diffusers_own_network(unet, given):
    plain = UNet3DConditionModel(**SMALL).eval()
    plain.load_state_dict(unet.state_dict(), strict=False)
    want = plain(given["sample"], 500, given["text"]).sample
    assert torch.allclose(unet(given["sample"], 500, given["text"]).sample, want, atol=1e-5)


@torch.no_grad()
def test_a_fresh_cam_and_a_fresh_apm_change_nothing(unet, cam, given):
    plain = unet(given["sample"], 500, given["text"]).sample
    memory = cam(given["sample"], 500, cam.context(given["text"]), cam.embed(given["frames"]))
    anchored = unet.anchored_context(given["text"], given["image"])
    assert torch.equal(unet(given["sample"], 500, anchored, memory=memory).sample, plain)


@torch.no_grad()
def test_trained_memory_reaches_the_new_frames(unet, cam, given):
    for module in (*unet.cam_injectors, unet.cam_mid_injector):
        torch.nn.init.normal_(module.proj_out.weight, std=0.2)
    torch.nn.init.normal_(cam.frame_embedding.conv_out.weight, std=20.0)

    def made(frames):
        memory = cam(given["sample"], 500, cam.context(given["text"]), cam.embed(frames))
        return unet(given["sample"], 500, given["text"], memory=memory).sample

    assert not torch.allclose(made(given["frames"])[:, :, 8:], made(-given["frames"])[:, :, 8:], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("pooled", [False, True], ids=["text", "pooled"])
def test_latents_that_all_samples_share_may_be_given_once(given, pooled):
    """What comes before the first reading is computed once: of the text, or of what stands in the embedding of time."""
    torch.manual_seed(1)
    unet = StreamingUNet3D(**SMALL, num_text_tokens=5, num_image_tokens=3, time_cond_proj_dim=6 if pooled else None)
    network = {key: value for key, value in SMALL.items() if key != "up_block_types"}
    cam = ConditionalAttentionModule(**network, embedding_channels=(4, 4, 8, 8)).eval()
    for parameter in (*unet.parameters(), *cam.parameters()):
        torch.nn.init.normal_(parameter, std=0.2)
    beside = torch.randn(2, 6) if pooled else None
    rows, real = [], unet.transformer_in.forward
    unet.transformer_in.forward = lambda x, **more: rows.append(len(x)) or real(x, **more)

    def made(latents, frames):
        memory = cam(latents, 500, cam.context(given["text"]), cam.embed(frames))
        return unet.eval()(latents, 500, given["text"], beside, memory).sample

    once = made(given["sample"][:1], given["frames"][:1])
    both = made(given["sample"][:1].expand(2, -1, -1, -1, -1), given["frames"][:1].expand(2, -1, -1, -1, -1))
    assert torch.allclose(once, both, atol=1e-5) and not torch.allclose(*once, atol=1e-3)
    assert 2 * rows[0] == rows[1]


@torch.no_grad()
@pytest.mark.parametrize("more", [{}, {"layout": True, "coordinates": True}], ids=["as published", "with a layout"])
def test_each_of_several_latents_may_stand_for_the_samples_that_follow_one_another(more):
    """Two videos at steps of their own, with two branches of guidance each."""
    torch.manual_seed(1)
    shape = dict(SMALL, **more, time_cond_proj_dim=6)
    unet = StreamingUNet3D(**shape, num_text_tokens=5, num_image_tokens=3)
    network = {key: value for key, value in SMALL.items() if key != "up_block_types"}
    cam = ConditionalAttentionModule(**network, embedding_channels=(4, 4, 8, 8)).eval()
    for parameter in (*unet.parameters(), *cam.parameters()):
        torch.nn.init.normal_(parameter, std=0.2)
    latents, frames, times = torch.randn(2, 4, 16, 8, 8), torch.rand(2, 8, 3, 64, 64), torch.tensor([900, 100])
    text, pooled = torch.randn(4, 5, 16), torch.randn(4, 6)

    def made(videos, t, rows):
        memory = cam(latents[videos], t, cam.context(text[rows]), cam.embed(frames[videos]))
        return unet.eval()(latents[videos], t, text[rows], pooled[rows], memory).sample

    together = made(slice(None), times, slice(None))
    first, second = made(slice(0, 1), times[0], slice(0, 2)), made(slice(1, 2), times[1], slice(2, 4))
    assert torch.allclose(together, torch.cat([first, second]), atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_each_sample_of_a_batch_may_stand_at_its_own_timestep(unet, given):
    with torch.no_grad():
        both = unet(given["sample"], torch.tensor([100, 900]), given["text"]).sample
        alone = unet(given["sample"][1:], 900, given["text"][1:]).sample
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_an_injector_learns_on_a_skip_that_is_frozen():
    injector = Injector(16, 8, 8)
    torch.nn.init.normal_(injector.proj_out.weight)
    injector(torch.randn(32, 16, 4, 4), torch.randn(16, 16, 4, 4), 2).sum().backward()
    assert all(weight.grad is not None for weight in injector.parameters())


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_frame_embedding_begins_at_zero_with_and_without_the_papers_norms(layer_norm):
    embedding = FrameEmbedding(16, (4, 4, 8, 8), layer_norm=layer_norm)
    features = embedding(torch.rand(2, 3, 64, 64))
    assert features.shape == (2, 16, 8, 8)
    assert not features.any()


def test_the_papers_network_without_the_mid_injector_can_be_had():
    assert StreamingUNet3D(**SMALL, **OURS, mid_injector=False).cam_mid_injector is None


def test_configuration_survives_saving(unet, tmp_path):
    unet.save_pretrained(tmp_path)
    again = StreamingUNet3D.from_pretrained(tmp_path)

    def told(network):
        return {key: value for key, value in network.config.items() if not key.startswith("_")}

    assert told(again).keys() == told(unet).keys()
    assert all(torch.equal(a, b) for a, b in zip(unet.parameters(), again.parameters(), strict=True))
