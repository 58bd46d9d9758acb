"""What is not published: coordinates in time, the layout by the pooled text, and a prediction of velocity."""

import pytest
import torch

from models.videocrafter.sampler import sample, step
from models.videocrafter.schedule import ScaledSchedule
from models.videocrafter.unet import VideoCrafterUNet3D, moments
from tests.support.checkpoint import wake_zeros

LATENTS, TEXT = torch.randn(2, 2, 4, 3, 4, 4, generator=torch.manual_seed(0)), torch.randn(2, 5, 16)
FAINT = {"scale_end": 0.01, "scale_steps": 1000}


def network(**options):
    torch.manual_seed(6)
    unet = VideoCrafterUNet3D(
        sample_size=(4, 4),
        down_block_types=("CrossAttnDownBlock3D",),
        up_block_types=("CrossAttnUpBlock3D",),
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=4,
        **options,
    )
    wake_zeros(unet)
    return unet.eval()


@torch.no_grad()
def said(unet, fps=8.0, **options):
    return unet(LATENTS[0], 300, TEXT, timestep_cond=fps, **options).sample


def test_with_coordinates_a_frames_number_is_its_time():
    assert moments(3, torch.tensor([8.0, 4.0, 16.0])).tolist() == [[0, 1, 2], [0, 2, 4], [0, 0.5, 1]]
    unet = network(coordinates=True)
    assert torch.equal(said(unet, 4.0), said(unet, 4.0, frame_numbers=torch.tensor([[0.0, 2, 4]])))
    assert not torch.equal(said(unet, 4.0), said(unet, 4.0, frame_numbers=torch.tensor([[0.0, 1, 2]])))


def test_every_sample_of_a_batch_has_its_own_rate():
    unet = network(coordinates=True, layout=True)
    pooled = torch.randn(2, 16)
    both = said(unet, torch.tensor([4.0, 16.0]), pooled=pooled)
    for i, fps in enumerate((4.0, 16.0)):
        assert torch.allclose(said(unet, fps, pooled=pooled)[i], both[i], atol=1e-5)


def test_the_layout_is_of_the_pooled_text():
    unet = network(coordinates=True, layout=True)
    one, other = (said(unet, pooled=torch.full((2, 16), value)) for value in (0.5, -0.5))
    assert not torch.allclose(one, other)


def test_a_network_without_them_has_no_weights_for_them():
    assert not {name for name in network().state_dict() if "layout" in name}
    assert network().conv_in.in_channels == 4


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("t", [1, 400, 981])
def test_what_a_perfect_network_says_gives_the_video_and_the_noise_back(kind, t):
    schedule = ScaledSchedule(prediction_type=kind)
    video, noise = LATENTS.double()
    noisy, told = schedule.diffuse(video, noise, t), schedule.target(video, noise, t)
    assert torch.allclose(schedule.clean(noisy, told, t), video, atol=1e-6)
    assert torch.allclose(schedule.noise(noisy, told, t), noise, atol=1e-6)
    then = schedule.diffuse(video, noise, t // 2)
    assert torch.allclose(step(schedule, noisy, told, t, t // 2, eta=0, noise=None), then, atol=1e-6)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_velocity_leads_from_pure_noise_to_the_video(eta):
    schedule = ScaledSchedule(prediction_type="v_prediction", **FAINT)
    video = LATENTS[0]

    def perfect(x, t):  # the noise is what is left of x without the video
        alpha, sigma = schedule.level(t)
        return schedule.target(video, (x - alpha * video) / sigma, t)

    drawn = sample(perfect, LATENTS[1], schedule, lambda i: LATENTS[1].roll(i, 3), steps=10, eta=eta)
    assert (drawn - video).abs().mean() < 0.05


def test_another_prediction_is_refused():
    with pytest.raises(ValueError, match="prediction_type is 'sample'"):
        ScaledSchedule(prediction_type="sample")
