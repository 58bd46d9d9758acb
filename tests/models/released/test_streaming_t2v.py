"""The released checkpoint at its published size: by shapes alone, on the meta device."""

import json

import pytest
import torch

from models.released import streaming_t2v
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.convert import ConversionError
from models.streaming_t2v.unet import StreamingUNet3D
from tests.parity.weights import parity_file
from tests.support import released

CLASSES = {"unet": StreamingUNet3D, "cam": ConditionalAttentionModule, "apm": AppearancePreservationModule}

PREFIXES = ("base_model", "unet", "resampler")


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):
        return released.streaming_state(released.PUBLISHED)


def test_the_published_sizes_are_read_from_the_shapes(published):
    configs = streaming_t2v.component_configs(published, released.PUBLISHED.network)
    for name, cls in CLASSES.items():
        with torch.device("meta"):
            got, want = cls(**configs[name]).config, cls().config
        sizes = [key for key in want if key not in ("_use_default_values", "sample_size")]
        assert {key: json.dumps(got[key]) for key in sizes} == {key: json.dumps(want[key]) for key in sizes}, name


@pytest.mark.parity
def test_the_tests_checkpoint_has_the_published_names_and_shapes(published):
    want = json.loads(parity_file("streaming_t2v_full.keys.json").read_text())
    got = {key: list(tensor.shape) for key, tensor in published.items() if key.partition(".")[0] in PREFIXES}
    assert got == want


def test_a_base_with_another_activation_is_refused():
    with pytest.raises(ConversionError, match="The base's UNet has act_fn gelu; it must be silu"):
        streaming_t2v.network_config({"act_fn": "gelu"})
