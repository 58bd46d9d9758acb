"""What a preset needs, by arithmetic: weights on the device, and the peak of what is computed, stage by stage.

Needs no weights and no GPU. Owns the choice of a preset for a device; knows nothing of how one is carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from models.memory import presets
from models.memory.live import peak_bytes
from models.memory.presets import Preset
from models.memory.shadow import Parts
from models.memory.stages import Load, Work, loads
from models.model import CheckpointError, Size

GIB = 1 << 30
#: Not arithmetic: what CUDA keeps for itself, workspaces of cuDNN, gaps between blocks.
RESERVE_BYTES = 3 * GIB // 2


@dataclass(frozen=True, slots=True)
class Need:
    """One stage under a preset, in bytes. weights: those on the device then; work: the peak of everything else."""

    stage: str
    size: Size | None
    weights: int
    work: int

    @property
    def total(self) -> int:
        return self.weights + self.work


class Budget:
    """The needs of a pipeline's parts (`models.memory.shadow`) for the sizes that it is used at."""

    def __init__(self, parts: Parts, works: Sequence[Work]):
        self.parts, self._works = parts, works
        self._peaks: dict[tuple[object, ...], int] = {}

    def needs(self, preset: Preset) -> list[Need]:
        """Every stage at every size, none twice."""
        resident = sum(bytes_of(part) for name, part in self.parts.items() if name not in preset.grouped)
        every = [load for work in self._works for load in loads(self.parts, work, preset)]
        return list(dict.fromkeys(self._need(load, preset, resident) for load in every))

    def peak(self, preset: Preset) -> Need:
        """The stage that needs the most."""
        return max(self.needs(preset), key=lambda need: need.total)

    def fits(self, preset: Preset, device_bytes: int) -> bool:
        return self.peak(preset).total + RESERVE_BYTES <= device_bytes

    def _need(self, load: Load, preset: Preset, resident: int) -> Need:
        fetched = sum(in_flight(self.parts[name]) for name in load.uses if name in preset.grouped)
        key = (load.stage, load.size, load.uses, preset.vae_slicing, preset.guidance_together)
        if key not in self._peaks:
            self._peaks[key] = peak_bytes(load.run)
        return Need(load.stage, load.size, resident + fetched, self._peaks[key])


def bytes_of(part: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*part.parameters(), *part.buffers()))


def in_flight(part: nn.Module) -> int:
    """Weights of a grouped network on the device at a time: at most its two largest layers, one used, one fetched."""
    own = (sum(tensor.nbytes for tensor in module.parameters(recurse=False)) for module in part.modules())
    return sum(sorted(own)[-2:])


def choose(budget: Budget, device_bytes: int, device: str, asked: Preset | None = None) -> Preset:
    """The preset asked for, or the one with the most memory that fits. Raises `CheckpointError` where none does."""
    candidates = [asked] if asked else [*reversed(presets.PRESETS.values())]
    for preset in candidates:
        if budget.fits(preset, device_bytes):
            return preset
    raise CheckpointError(_too_small(budget.peak(preset), preset, device_bytes, device, alone=asked is not None))


def _too_small(peak: Need, preset: Preset, device_bytes: int, device: str, *, alone: bool) -> str:
    where = f"{peak.stage} at {peak.size}" if peak.size else peak.stage
    needed = f"needs {(peak.total + RESERVE_BYTES) / GIB:.1f} GiB ({where})"
    has = f"{device} has {device_bytes / GIB:.1f} GiB of memory"
    if alone:
        return f"{has}; the preset '{preset.name}' {needed}. '{presets.AUTO}' takes one that fits, if there is one."
    return f"{has}, which is too little for this model: even the preset '{preset.name}' {needed}."
