"""Refinement cut into tiles: every look is in one of them, in an order that the blending graph allows."""

from __future__ import annotations

from itertools import product

import pytest

from models.refinement import blending
from models.refinement.blending import Node
from models.tiles import Tile, Tiling

SHAPES = list(product((1, 2, 5, 30), (1, 2, 3, 8), (1, 2, 3, 9)))


def nodes(tiling: Tiling, tile: Tile) -> list[Node]:
    return blending.diagonal(tile.diagonal, tiling.windows, tiling.steps_of(tile.band))


@pytest.mark.parametrize(("windows", "steps", "bands"), SHAPES)
def test_every_look_is_in_one_tile_and_after_those_that_it_needs(windows: int, steps: int, bands: int) -> None:
    tiling, seen = Tiling(windows, steps, bands), set[Node]()
    for tile in tiling.tiles:
        assert len(nodes(tiling, tile)) == tiling.looks(tile) > 0
        for node in nodes(tiling, tile):
            assert node not in seen and seen.issuperset(blending.needs(node, windows))
            seen.add(node)
    assert len(seen) == windows * steps


@pytest.mark.parametrize(("windows", "steps", "bands"), SHAPES)
def test_a_tile_needs_no_look_but_those_of_the_tiles_it_is_told_of(windows: int, steps: int, bands: int) -> None:
    """The order of a band, and the tiles that feed it: together they are all that a worker must wait for."""
    tiling, known = Tiling(windows, steps, bands), dict[Tile, set[Node]]()
    for tile in tiling.tiles:
        before = tiling.before(tile)
        heard = set[Node]().union(*(known[other] for other in [*tiling.feeds(tile), *([before] if before else [])]))
        for node in nodes(tiling, tile):
            assert heard.issuperset(blending.needs(node, windows))
            heard.add(node)
        known[tile] = heard


@pytest.mark.parametrize(("windows", "steps", "bands"), SHAPES)
def test_every_window_enters_and_leaves_each_band_once(windows: int, steps: int, bands: int) -> None:
    tiling = Tiling(windows, steps, bands)
    assert [w for tile in tiling.tiles if (w := tiling.enters(tile)) is not None] == list(range(windows))
    for band in {tile.band for tile in tiling.tiles}:
        left = [w for tile in tiling.tiles if tile.band == band and (w := tiling.leaves(tile)) is not None]
        fed = [tiling.leaves(feed) for tile in tiling.tiles if tile.band == band + 1 for feed in tiling.feeds(tile)]
        assert left == list(range(windows)) and fed in ([], left)


def test_there_are_no_more_bands_than_steps() -> None:
    assert Tiling(5, 2, 9).tiles == Tiling(5, 2, 2).tiles
    assert [len(Tiling(5, 30, 4).steps_of(band)) for band in range(4)] == [7, 8, 7, 8]
