"""What a model needs of a GPU under each preset, as a table: by arithmetic, so neither weights nor a GPU are read.

Knows how it is told; what is counted, `models.memory` knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.table import Column, Table

from longtake.checkpoints import inventory
from models.memory import budget, precision, published, shadow
from models.memory.budget import GIB, RESERVE_BYTES, Budget, bytes_of
from models.memory.presets import PRESETS, Preset
from models.memory.stages import VAE_BATCH, Work
from models.model import CheckpointError, Model

CAVEATS = (
    "GPUs before Ampere compute in float16, which takes the same room. Attention is counted as fused kernels do it. "
    "The reserve is for what is not counted: CUDA itself, workspaces of cuDNN, gaps. A first chunk by AnimateDiff or "
    "Stable Video Diffusion comes on top."
)
GPU_NUMBERS = precision.of_capability(precision.BFLOAT16_SINCE)


def of_folder(folder: Path, model: Model | None) -> Budget:
    """Of a checkpoint, at the sizes of the catalogue; of one that is not in it, at those it was made for."""
    networks = {part.name: inventory.empty(part) for part in inventory.components(folder) if part.weights}
    return Budget(shadow.in_precision(networks, GPU_NUMBERS), _works(model) or [Work.native(networks)])


def of_published(model: Model) -> Budget:
    """Of the published sizes, where no weights are."""
    with torch.device("meta"):
        networks = {name: make() for name, make in published.NETWORKS.items()}
    return Budget(shadow.in_precision(networks, GPU_NUMBERS), _works(model))


def _works(model: Model | None) -> list[Work]:
    return [Work(*pair) for pair in model.pairs] if model else []


def table(needs: Budget) -> Table:
    """A column a preset, a row a stage, GiB."""
    columns = Column("", no_wrap=True), *(Column(name, justify="right") for name in PRESETS)
    made = Table(*columns, title="Memory on a GPU, GiB, by arithmetic", caption=CAVEATS)
    for name, tell in _CHOICES.items():
        made.add_row(name, *(tell(preset) for preset in PRESETS.values()))
    fetched = ([name for name in preset.grouped if name in needs.parts] for preset in PRESETS.values())
    made.add_row("fetched layer by layer", *(", ".join(names) or "nothing" for names in fetched))
    made.add_section()
    resident = [
        sum(bytes_of(part) for name, part in needs.parts.items() if name not in preset.grouped)
        for preset in PRESETS.values()
    ]
    made.add_row("weights that stay", *map(_gib, resident))
    for stage, totals in _stages(needs):
        made.add_row(stage, *map(_gib, totals))
    made.add_section()
    most = [needs.peak(preset).total + RESERVE_BYTES for preset in PRESETS.values()]
    made.add_row(f"the most, and {RESERVE_BYTES / GIB:g} in reserve", *map(_gib, most))
    return made


_CHOICES: dict[str, Any] = {
    "for cards of": lambda preset: f"{preset.card_gib} GiB",
    "numbers": lambda preset: f"{GPU_NUMBERS}",
    "frames in the VAE": lambda preset: "1" if preset.vae_slicing else str(VAE_BATCH),
    "refiner's guidance": lambda preset: "in one batch" if preset.guidance_together else "one by one",
}


def _stages(needs: Budget) -> Iterator[tuple[str, list[int]]]:
    """Every stage with what it needs under each preset, in the order of the stages."""
    columns: list[dict[str, int]] = []
    for preset in PRESETS.values():
        column: dict[str, int] = {}
        for need in needs.needs(preset):
            name = f"{need.stage}, {need.size}" if need.size else need.stage
            column[name] = max(column.get(name, 0), need.total)
        columns.append(column)
    for name in columns[0]:
        yield name, [column[name] for column in columns]


def here(needs: Budget) -> str:
    """What this machine would take, and in which numbers."""
    if not torch.cuda.is_available():
        reason = precision.choose(torch.device("cpu")).reason
        return f"This machine has no GPU that torch can use: everything stays in its memory, {reason}"
    device = torch.device("cuda")
    name, total = torch.cuda.get_device_name(device), torch.cuda.get_device_properties(device).total_memory
    try:
        preset: Preset = budget.choose(needs, total, name)
    except CheckpointError as error:
        return str(error)
    return f"{name} ({total / GIB:.1f} GiB) takes '{preset.name}', {precision.choose(device).reason}"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
