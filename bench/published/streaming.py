"""A streaming chunk beside the published code's.

Both have the same weights, drawn at random and converted from its names to
ours, the same frames, prompt, anchor, steps and guidance; both take attention from torch, in float32, on the CPU. A
width is that of the first level (320 published; 1, 2, 4, 4 times that in the levels). Steps are timed in turns, theirs
and ours, so that whatever else the machine does falls on both; a chunk is 50 of them, what is made once, and decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from diffusers import AutoencoderKL
from rich.table import Table
from torch import Tensor

from bench.published.checkout import Checkout, shaken
from bench.published.timing import in_turns, timed
from bench.roofline import Work
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.convert import convert_checkpoint
from models.streaming_t2v.unet import StreamingUNet3D

STEPS, FRAMES, KNOWN = 50, 16, 8
TOKENS, IMAGE_TOKENS, TOKEN_DIM = 77, 16, 1024
CPU, FLOAT = torch.device("cpu"), torch.float32
Step = Callable[[], Tensor]


@dataclass(frozen=True)
class Row:
    """Seconds of theirs and of ours; flops: floating-point operations of the products in a step."""

    width: int
    side: int  # of the latents
    step_s: tuple[float, float]
    chunk_s: tuple[float, float]
    flops: tuple[int, int]
    difference: float  # the largest, of predictions of about unit variance

    @property
    def ratios(self) -> dict[str, float]:
        pairs = {"step": self.step_s, "chunk": self.chunk_s, "work": self.flops}
        return {name: theirs / ours for name, (theirs, ours) in pairs.items()}


class Given:
    """What both are given: two branches of guidance, of one chunk."""

    def __init__(self, side: int, device: torch.device, dtype: torch.dtype):
        draw = torch.Generator().manual_seed(0)
        given = lambda *shape: torch.randn(*shape, generator=draw).to(device, dtype)  # noqa: E731
        self.latents = given(1, 4, FRAMES, side, side).repeat(2, 1, 1, 1, 1)
        self.text = given(2, TOKENS, TOKEN_DIM)
        self.anchor = given(2, TOKEN_DIM)
        self.frames = given(1, KNOWN, 3, 8 * side, 8 * side).clamp(-1, 1)
        self.t = torch.tensor(501, device=device)


def theirs(networks: dict[str, Any], given: Given) -> Step:
    """One evaluation as their loop makes it; image tokens are made once a chunk, as there."""
    tokens = torch.cat([given.text, networks["resampler"](given.anchor.unsqueeze(1))], dim=1)
    frames = given.frames.repeat(2, 1, 1, 1, 1).flatten(0, 1)

    def step() -> Tensor:
        skips, middle = networks["unet"](
            given.latents, given.t, encoder_hidden_states=tokens, controlnet_cond=frames, return_dict=False
        )
        made = networks["base_model"](
            given.latents,
            given.t,
            encoder_hidden_states=tokens,
            down_block_additional_residuals=skips,
            mid_block_additional_residual=middle,
        )
        sample: Tensor = made.sample
        return sample

    return step


def ours(networks: dict[str, Any], given: Given) -> Step:
    """The same as `models.streaming_t2v.streamer` makes it."""
    unet, cam = networks["unet"], networks["cam"]
    context = unet.anchored_context(given.text, networks["apm"](given.anchor))
    heard, embedded, latents = cam.context(given.text), cam.embed(given.frames), given.latents[:1]

    def step() -> Tensor:
        memory = cam(latents, given.t, heard, embedded)
        sample: Tensor = unet(latents, given.t, context, None, memory).sample
        return sample

    return step


def converted(networks: dict[str, Any], config: dict[str, Any], side: int) -> dict[str, Any]:
    """Our networks with the weights of theirs."""
    released = {f"{prefix}.{key}": value for prefix, net in networks.items() for key, value in net.state_dict().items()}
    config = {**config, "sample_size": side}
    configs: dict[str, dict[str, Any]] = {
        "unet": {**config, "num_text_tokens": TOKENS, "num_image_tokens": IMAGE_TOKENS},
        "cam": {**config, "num_conditioning_frames": KNOWN},
        "apm": {"embedding_dim": TOKEN_DIM, "num_image_tokens": IMAGE_TOKENS, "token_dim": TOKEN_DIM},
    }
    classes = {"unet": StreamingUNet3D, "cam": ConditionalAttentionModule, "apm": AppearancePreservationModule}
    weights, made = convert_checkpoint(released, configs), {}
    for name, make in classes.items():
        made[name] = make(**configs[name])
        made[name].load_state_dict(weights[name])
        made[name].eval().requires_grad_(False)
    return made


def vae_of(width: int) -> AutoencoderKL:
    """Stable Diffusion's, as much narrower as the network is."""
    levels = [max(32, times * 128 * width // 320 // 32 * 32) for times in (1, 2, 4, 4)]
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    return AutoencoderKL(block_out_channels=levels, layers_per_block=2, latent_channels=4, **kinds).eval()


@torch.no_grad()
def measured(
    checkout: Checkout, width: int, side: int, rounds: int, device: torch.device = CPU, dtype: torch.dtype = FLOAT
) -> Row:
    config = {
        "block_out_channels": (width, 2 * width, 4 * width, 4 * width),
        "layers_per_block": 2,
        "cross_attention_dim": TOKEN_DIM,
        "attention_head_dim": 64,
        "norm_num_groups": 32,
    }
    networks = checkout.networks(config, TOKEN_DIM, TOKEN_DIM)
    for seed, network in enumerate(networks.values()):
        shaken(network, seed)
    given, vae = Given(side, device, dtype), vae_of(width).to(device, dtype)
    own = converted(networks, config, side)
    for network in (*networks.values(), *own.values()):
        network.to(device, dtype)
    pair: list[Step] = []
    once: list[float] = []
    for prepare, of in ((theirs, networks), (ours, own)):
        seconds, step = timed(lambda prepare=prepare, of=of: prepare(of, given))  # type: ignore[misc]
        once.append(seconds)
        pair.append(step)
    first, second = (step() for step in pair)
    steps = [median(seconds) for seconds in in_turns(pair, rounds)]
    decodings = [lambda n=n: vae.decode(given.latents[0, :, :n].transpose(0, 1)).sample for n in (FRAMES, KNOWN)]
    decoding = [min(seconds) for seconds in in_turns(decodings, 2)]
    chunks = [a + STEPS * b + c for a, b, c in zip(once, steps, decoding, strict=True)]
    difference = (first - second).abs().max().item()
    for network in (*networks.values(), *own.values()):
        network.to("meta")
    nothing = Given(side, torch.device("meta"), FLOAT)
    work = Work.of(theirs(networks, nothing)), Work.of(ours(own, nothing))
    flops = (work[0].flops, work[1].flops)
    return Row(width, side, (steps[0], steps[1]), (chunks[0], chunks[1]), flops, difference)


def table(rows: list[Row]) -> Table:
    shown = Table(title="A streaming chunk: the published code's, and this one's")
    for name in (
        "width",
        "latents",
        "step: theirs",
        "ours",
        "times",
        "by work",
        "chunk: theirs",
        "ours",
        "times",
        "difference",
    ):
        shown.add_column(name, justify="right")
    for row in rows:
        steps = (
            f"{row.step_s[0]:.2f} s",
            f"{row.step_s[1]:.2f} s",
            f"{row.ratios['step']:.2f}",
            f"{row.ratios['work']:.2f}",
        )
        chunks = (f"{row.chunk_s[0]:.0f} s", f"{row.chunk_s[1]:.0f} s", f"{row.ratios['chunk']:.2f}")
        shown.add_row(str(row.width), f"{row.side}x{row.side}", *steps, *chunks, f"{row.difference:.1e}")
    return shown
