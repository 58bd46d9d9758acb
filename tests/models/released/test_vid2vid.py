"""The released refiner gives the published numbers, and its VAE converts as diffusers converts it.

`vid2vid.safetensors` holds what the published network made of some latents, at reduced width, its weights following
from their names (see `tests.parity.weights`).
"""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors import safe_open
from safetensors.torch import save_file

from models.refinement.network import VideoRefinerUNet3D
from models.released import vid2vid
from models.released.weights import open_weights
from models.streaming_t2v.convert import ConversionError
from tests.parity.weights import synthetic_weight
from tests.support import released

RECORDED = Path(__file__).parents[1] / "refinement" / "vid2vid.safetensors"


@pytest.fixture(scope="module")
def recorded():
    with safe_open(RECORDED, "pt") as file:
        return json.loads(file.metadata()["config"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@torch.no_grad()
def test_the_converted_refiner_gives_the_published_numbers(recorded, tmp_path):
    config, given = recorded
    shapes = {k: list(v.shape) for k, v in released.refiner_state(context=1024, head_dim=config["heads_of"]).items()}
    names = hashlib.sha256(json.dumps(sorted(shapes.items())).encode()).hexdigest()
    assert names == config["keys_sha256"], "the names of the tests' refiner are not the published ones"
    weights = {key: synthetic_weight(key, shape, config["seed"]) for key, shape in shapes.items()}
    save_file(weights, tmp_path / "refiner.safetensors")
    part = vid2vid.network(open_weights(tmp_path / "refiner.safetensors"), head_dim=config["heads_of"])
    network = VideoRefinerUNet3D.from_config(part.model.config).eval()
    network.load_state_dict({key: part.read(key) for key in part.state_dict})
    made = network(given["latents"], config["timestep"], given["text_tokens"]).sample
    assert torch.allclose(made, given["expected"], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("size", [(90, 90), (45, 80), (10, 7)])
def test_the_refiner_takes_any_size(size):
    network = VideoRefinerUNet3D(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4, cross_attention_dim=8,
        attention_head_dim=4,
    ).eval()  # fmt: skip
    latents = torch.randn(1, 4, 1, *size)
    assert network(latents, 1, torch.randn(1, 5, 8)).sample.shape == latents.shape


def test_the_published_refiner_has_no_key_missing_left_over_or_misshapen():
    with torch.device("meta"):
        state = released.refiner_state(
            width=320, multiples=(1, 2, 4, 4), attends=(0, 1, 2), layers=2, context=1024, head_dim=64
        )
        want = VideoRefinerUNet3D().state_dict()
    names = vid2vid.Names(2)
    assert {names.ours(key) for key in state} == want.keys()
    assert sum(tensor.numel() for tensor in state.values()) == sum(tensor.numel() for tensor in want.values())


def test_the_vae_converts_as_diffusers_converts_it(tmp_path):
    state = {f"first_stage_model.{key}": tensor for key, tensor in released.latent_vae().items()}
    save_file(state, tmp_path / "vae.safetensors")
    part = vid2vid.vae(open_weights(tmp_path / "vae.safetensors"))
    want = convert_ldm_vae_checkpoint(state, {"down_block_types": [None] * 4, "up_block_types": [None] * 4})
    assert want.keys() == part.state_dict.keys()
    assert all(torch.equal(part.read(key), want[key]) for key in want)


def test_another_network_is_refused(tmp_path):
    save_file({"conv_in.weight": torch.ones(2)}, tmp_path / "refiner.safetensors")
    with pytest.raises(ConversionError, match="not the network of MS-Vid2Vid-XL"):
        vid2vid.network(open_weights(tmp_path / "refiner.safetensors"))
