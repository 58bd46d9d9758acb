"""OpenCLIP's towers say the same as transformers' CLIP: against the towers' own arithmetic, written out here."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from models.released import open_clip
from models.released.weights import open_weights
from models.streaming_t2v.convert import ConversionError
from tests.support import released

HEADS = {"vision": 160 // open_clip.VISION_HEAD_DIM, "text": 128 // open_clip.TEXT_HEAD_DIM}


def norm(x, state, name):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def run_block(x, state, name, heads, mask=None):
    """A residual block of OpenCLIP, by torch's own attention with q, k and v in one matrix."""
    attention = nn.MultiheadAttention(x.shape[-1], heads, batch_first=True)
    attention.load_state_dict({k.removeprefix(f"{name}.attn."): v for k, v in state.items() if f"{name}.attn." in k})
    y = norm(x, state, f"{name}.ln_1")
    x = x + attention(y, y, y, need_weights=False, attn_mask=mask)[0]
    y = F.linear(norm(x, state, f"{name}.ln_2"), state[f"{name}.mlp.c_fc.weight"], state[f"{name}.mlp.c_fc.bias"])
    return x + F.linear(F.gelu(y), state[f"{name}.mlp.c_proj.weight"], state[f"{name}.mlp.c_proj.bias"])


def run_image_tower(state, pixels):
    patches = F.conv2d(pixels, state["conv1.weight"], stride=state["conv1.weight"].shape[-1]).flatten(2).mT
    x = torch.cat([state["class_embedding"].expand(len(pixels), 1, -1), patches], dim=1)
    x = norm(x + state["positional_embedding"], state, "ln_pre")
    for i in range(2):
        x = run_block(x, state, f"transformer.resblocks.{i}", HEADS["vision"])
    return norm(x[:, 0], state, "ln_post") @ state["proj"]


def converted(part):
    model = part.model.to_empty(device="cpu").eval()
    for name, buffer in model.named_buffers():  # positions, which no file holds
        model.get_submodule(name.rpartition(".")[0]).position_ids = torch.arange(buffer.shape[-1])[None]
    model.load_state_dict({key: part.read(key) for key in part.state_dict})
    return model


@torch.no_grad()
def test_the_image_tower_gives_open_clips_embedding(tmp_path):
    torch.manual_seed(3)
    state = released.image_tower()
    save_file(state, tmp_path / "tower.safetensors")
    model = converted(open_clip.vision_part("image_encoder", open_weights(tmp_path / "tower.safetensors")))
    pixels = torch.randn(2, 3, 32, 32)
    want = run_image_tower({key.removeprefix("visual."): tensor for key, tensor in state.items()}, pixels)
    assert torch.allclose(model(pixels).image_embeds, want, atol=1e-5)


@torch.no_grad()
def test_the_text_tower_gives_the_last_block_but_one_under_the_final_norm(tmp_path):
    torch.manual_seed(4)
    state = released.text_tower()
    save_file(state, tmp_path / "tower.safetensors")
    model = converted(open_clip.text_part("text_encoder", open_weights(tmp_path / "tower.safetensors")))
    tokens = torch.randint(0, 50, (2, 77))
    x = state["token_embedding.weight"][tokens] + state["positional_embedding"]
    mask = torch.full((77, 77), -torch.inf).triu(1)
    for i in range(2):  # of three blocks
        x = run_block(x, state, f"transformer.resblocks.{i}", HEADS["text"], mask)
    want = norm(x, state, "ln_final")
    assert torch.allclose(model(tokens).last_hidden_state, want, atol=1e-5)


def test_another_tower_is_refused_by_what_it_lacks(tmp_path):
    save_file({"visual.trunk.weight": torch.ones(2)}, tmp_path / "tower.safetensors")
    with pytest.raises(ConversionError, match=r"no OpenCLIP tower, for it has no conv1.weight"):
        open_clip.vision_part("image_encoder", open_weights(tmp_path / "tower.safetensors"))
