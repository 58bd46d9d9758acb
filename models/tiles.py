"""Refinement as units: the blending graph cut along its diagonals and across its steps.

Node (window i, step s) of the graph (`models.refinement.blending`) lies on diagonal i + s. The steps are cut into
bands; a tile is what one diagonal has in one band. A band hands on the frames that it is done with, so a tile needs
the one before it in its band and those that it takes frames from, and nothing else: as many workers as there are bands
refine one video at once. Standard library only; knows neither tensors nor frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class Tile(NamedTuple):
    """Nodes (diagonal - s, s) for the steps s of one band."""

    diagonal: int
    band: int


@dataclass(frozen=True)
class Tiling:
    """How the windows of a video and the steps of its refinement are cut. bands: at most one a step."""

    windows: int
    steps: int
    bands: int = 1

    def steps_of(self, band: int) -> range:
        """The steps of a band; the bands differ by one step at most."""
        count = min(self.bands, self.steps)
        return range(band * self.steps // count, (band + 1) * self.steps // count)

    @cached_property
    def tiles(self) -> list[Tile]:
        """All that have a node, diagonal by diagonal: an order in which each can be done."""
        bands = range(min(self.bands, self.steps))
        diagonals = range(self.windows + self.steps - 1)
        return [Tile(j, b) for j in diagonals for b in bands if self._has(Tile(j, b))]

    def before(self, tile: Tile) -> Tile | None:
        """The one whose frames in flight this one goes on with."""
        before = Tile(tile.diagonal - 1, tile.band)
        return before if self._has(before) else None

    def feeds(self, tile: Tile) -> list[Tile]:
        """Those that hand it their frames: of the band before, what no tile has taken yet."""
        if tile.band == 0:
            return []
        is_first = self.before(tile) is None
        diagonals = range(tile.diagonal - is_first, tile.diagonal + 1)
        return [Tile(j, tile.band - 1) for j in diagonals if self._has(Tile(j, tile.band - 1))]

    def enters(self, tile: Tile) -> int | None:
        """The window whose frames a tile of the first band takes in from the preview, if any."""
        return tile.diagonal if tile.band == 0 and tile.diagonal < self.windows else None

    def leaves(self, tile: Tile) -> int | None:
        """The window whose frames a tile finishes, as far as its band goes, if any."""
        window = tile.diagonal - self.steps_of(tile.band)[-1]
        return window if window >= 0 else None

    def is_last(self, tile: Tile) -> bool:
        """Whether what it finishes is refined."""
        return self.steps_of(tile.band)[-1] == self.steps - 1

    def looks(self, tile: Tile) -> int:
        """Nodes of a tile: how often the network looks at a window."""
        return sum(0 <= tile.diagonal - s < self.windows for s in self.steps_of(tile.band))

    def _has(self, tile: Tile) -> bool:
        steps = self.steps_of(tile.band)
        return steps[0] <= tile.diagonal <= self.windows - 1 + steps[-1]
