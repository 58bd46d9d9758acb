"""A look at a refinement window beside the published code's.

The same weights, drawn at random and converted from its names to ours; 24 frames, float32, on the CPU. Published, a
square video is padded with black bars to 16:9 and all of it denoised, and guidance is two passes; here it is the video
alone, in one. The numbers of both are compared without the bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor

from bench.published.checkout import Checkout, shaken
from bench.published.timing import in_turns
from bench.roofline import Work
from models.refinement.guidance import guide
from models.refinement.network import VideoRefinerUNet3D
from models.released import vid2vid
from models.released.weights import open_weights

FRAMES, TOKENS, TOKEN_DIM = 24, 77, 1024
SCALE, RESCALE = 7.5, 0.2
T = torch.tensor([501])


@dataclass(frozen=True)
class Row:
    """Seconds of a look with guidance, theirs and ours; without_bars_s: theirs, of the same pixels as ours.

    flops: floating-point operations of the products in it, theirs and ours.
    """

    width: int
    rows: int
    theirs_s: float
    without_bars_s: float
    ours_s: float
    flops: tuple[int, int]
    difference: float

    @property
    def ratios(self) -> dict[str, float]:
        return {"look": self.theirs_s / self.ours_s, "work": self.flops[0] / self.flops[1]}


def theirs(network: Any, x: Tensor, texts: Tensor) -> Tensor:
    """Guidance as their loop makes it: one pass after the other."""
    cond, uncond = (network(x, T.to(x.device), y=text[None]) for text in (texts[1], texts[0]))
    return guide(cond, uncond, scale=SCALE, rescale=RESCALE)


def ours(network: Any, x: Tensor, texts: Tensor) -> Tensor:
    """The same in one pass, as `models.refinement.refiner` makes it."""
    uncond, cond = network(x, T.to(x.device), texts).sample.split(1)
    return guide(cond, uncond, scale=SCALE, rescale=RESCALE)


def converted(network: torch.nn.Module) -> VideoRefinerUNet3D:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "refiner.safetensors"
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, file)
        part = vid2vid.network(open_weights(file))
        made = VideoRefinerUNet3D.from_config(part.model.config).eval().requires_grad_(False)
        made.load_state_dict({key: part.read(key) for key in part.state_dict})
    return made


@torch.no_grad()
def measured(checkout: Checkout, width: int, rows: int, rounds: int) -> Row:
    published = shaken(checkout.refiner(width), seed=0)
    own = converted(published)
    draw = torch.Generator().manual_seed(0)
    texts = torch.randn(2, TOKENS, TOKEN_DIM, generator=draw)
    bars = -(-rows * 16 // 9 // 8) * 8  # columns of a frame with its bars, as many as its levels need
    square = rows // 8 * 8  # the columns that both take
    wide, narrow, same = (torch.randn(1, 4, FRAMES, rows, columns, generator=draw) for columns in (bars, rows, square))
    first, second = theirs(published, same, texts), ours(own, same, texts)
    ways = [
        lambda: theirs(published, wide, texts),
        lambda: theirs(published, same, texts),
        lambda: ours(own, narrow, texts),
    ]
    seconds = [median(taken) for taken in in_turns(ways, rounds)]
    difference = (first - second).abs().max().item()
    for network in (published, own):
        network.to("meta")
    wide, narrow, texts = (each.to("meta") for each in (wide, narrow, texts))
    work = Work.of(lambda: theirs(published, wide, texts)), Work.of(lambda: ours(own, narrow, texts))
    return Row(width, rows, *seconds, (work[0].flops, work[1].flops), difference)


def table(found: list[Row]) -> Table:
    shown = Table(title="A look at a refinement window: the published code's, and this one's")
    for name in ("width", "frame", "theirs", "theirs without bars", "ours", "times", "by work", "difference"):
        shown.add_column(name, justify="right")
    for row in found:
        seconds = (f"{s:.2f} s" for s in (row.theirs_s, row.without_bars_s, row.ours_s))
        frame = f"{8 * row.rows}x{8 * row.rows}"
        ratios = (f"{row.ratios[name]:.2f}" for name in ("look", "work"))
        shown.add_row(str(row.width), frame, *seconds, *ratios, f"{row.difference:.1e}")
    return shown
