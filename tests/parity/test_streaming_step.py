"""StreamingT2V's network gives the numbers of the published implementation."""

import json

import pytest
import torch
from safetensors import safe_open

from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.convert import ConversionError, convert_checkpoint
from models.streaming_t2v.unet import StreamingUNet3D
from tests.parity.weights import parity_file, synthetic_state_dict

pytestmark = pytest.mark.parity
TOLERANCE = 1e-4
NETWORK = (
    "block_out_channels",
    "layers_per_block",
    "cross_attention_dim",
    "attention_head_dim",
    "norm_num_groups",
    "sample_size",
)


@pytest.fixture(scope="module")
def recorded():
    with safe_open(parity_file("streaming_step.safetensors"), "pt") as file:
        config = json.loads(file.metadata()["config"])
        return config, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def networks(recorded):
    config, tensors = recorded
    network = {key: config[key] for key in NETWORK}
    sizes = {
        "num_text_tokens": tensors["text_tokens"].shape[1],
        "num_image_tokens": tensors["expected.image_tokens"].shape[1],
    }
    configs = {
        "unet": {**network, **sizes},
        "cam": {**network, "num_conditioning_frames": config["num_conditioning_frames"]},
        "apm": {
            "embedding_dim": tensors["anchor_embedding"].shape[1],
            "num_image_tokens": sizes["num_image_tokens"],
            "token_dim": config["cross_attention_dim"],
        },
    }
    released = synthetic_state_dict(parity_file("streaming_step.keys.json"), config["seed"])
    converted = convert_checkpoint(released, configs)
    made = {
        "unet": StreamingUNet3D(**configs["unet"]),
        "cam": ConditionalAttentionModule(**configs["cam"]),
        "apm": AppearancePreservationModule(**configs["apm"]),
    }
    for name, module in made.items():
        module.load_state_dict(converted[name], strict=True)
        module.eval()
    return made


@torch.no_grad()
def test_the_converted_network_gives_the_published_numbers(recorded, networks):
    config, given = recorded
    unet, cam, apm = networks["unet"], networks["cam"], networks["apm"]
    latents, text, t = given["latents"], given["text_tokens"], config["timestep"]
    image_tokens = apm(given["anchor_embedding"])
    memory = cam(latents, t, cam.context(text), cam.embed(given["conditioning_frames"]))
    context = unet.anchored_context(text, image_tokens)
    found = {
        "image_tokens": image_tokens,
        "cam_down_0": memory.skips[0],
        "cam_mid": memory.middle,
        "noise_pred": unet(latents, t, context, memory=memory).sample,
        "noise_pred_without_cam": unet(latents, t, context).sample,
    }
    errors = {
        key.removeprefix("expected."): (found[key.removeprefix("expected.")] - want).abs().max().item()
        for key, want in given.items()
        if key.startswith("expected.")
    }
    print("largest differences:", {key: f"{error:.1e}" for key, error in errors.items()})
    assert max(errors.values()) <= TOLERANCE, errors


def test_the_full_size_checkpoint_converts_with_no_key_missing_left_over_or_misshapen():
    shapes = json.loads(parity_file("streaming_t2v_full.keys.json").read_text())
    released = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    converted = convert_checkpoint(released)  # checks names and shapes against the published-size classes
    assert sum(len(part) for part in converted.values()) == len(released)


def test_a_truncated_checkpoint_is_refused_by_the_name_of_what_it_lacks():
    shapes = json.loads(parity_file("streaming_t2v_full.keys.json").read_text())
    shapes.pop("unet.controlnet_cond_embedding.conv_out.bias")
    with pytest.raises(ConversionError, match=r"cam: 1 keys missing, such as frame_embedding.conv_out.bias"):
        convert_checkpoint({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
