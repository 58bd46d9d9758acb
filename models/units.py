"""The units that a video is made of: its stages, and what each unit of them emits and needs.

Standard library only, like the catalogue, from which the lengths of chunks and windows come. Pure functions: the same
video has the same plan wherever it is asked for. Knows nothing of how a unit is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from models.model import Model
from models.tiles import Tiling


class Stage(StrEnum):
    """The stages of one video, in their order. What emits frames again emits all frames of the stage before it."""

    INITIALIZE = "initialize"
    STREAM = "stream"
    REFINE = "refine"
    INTERPOLATE = "interpolate"
    UPSCALE = "upscale"
    FINISH = "finish"

    @property
    def is_chunk(self) -> bool:
        """Whether its units are chunks, which a prompt is followed in."""
        return self in (Stage.INITIALIZE, Stage.STREAM)

    @property
    def track(self) -> str:
        """What the frames of this stage are called together: a rendition of the video, the later the better."""
        return _TRACKS[self]


_TRACKS = {
    Stage.INITIALIZE: "preview",
    Stage.STREAM: "preview",
    Stage.REFINE: "refined",
    Stage.INTERPOLATE: "interpolated",
    Stage.UPSCALE: "upscaled",
    Stage.FINISH: "",
}
#: From the first that can be watched to the best.
TRACKS = tuple(dict.fromkeys(track for track in _TRACKS.values() if track))


@dataclass(frozen=True, slots=True)
class Unit:
    """What a worker claims: a chunk, a tile of refinement, a piece interpolated or enlarged, or the finishing.

    It emits frames [first_frame, first_frame + num_frames) of its stage (none where num_frames is 0) and reads
    the states that the units in `needs` have left.
    """

    position: int  # place in the plan
    stage: Stage
    index: int  # place in the stage
    first_frame: int
    num_frames: int
    needs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return unit_key(self.stage, self.index)


def unit_key(stage: Stage, index: int) -> str:
    return f"{stage}-{index:05d}"


def stage_of(key: str) -> Stage:
    """The stage of the unit with that key."""
    return Stage(key.rsplit("-", 1)[0])


def count_chunks(model: Model, num_frames: int) -> int:
    """Chunks of the streaming stage, the first one included: 16 frames, then 8 new ones each."""
    return 1 + max(0, -(-(num_frames - model.chunk_frames) // model.new_frames))


def windows(num_frames: int, length: int, overlap: int) -> list[tuple[int, int]]:
    """Refinement windows [start, stop): stride length - overlap; the last one is shorter, and no frame is trimmed."""
    starts = range(0, max(1, num_frames - overlap), length - overlap)
    return [(start, min(start + length, num_frames)) for start in starts]


def tiling(model: Model, num_frames: int, steps: int, bands: int) -> Tiling:
    """How the refinement of a video is cut into units."""
    return Tiling(len(windows(num_frames, model.window_frames, model.window_overlap)), steps, bands)


def interpolated(num_frames: int, factor: int) -> int:
    """How many frames there are when each gap between two of `num_frames` is made `factor` steps long."""
    return (num_frames - 1) * factor + 1


def plan(
    model: Model,
    num_frames: int,
    refine_steps: int | None,
    interpolate: int = 1,
    upscale: int = 1,
    refine_bands: int = 1,
) -> list[Unit]:
    """The units of a video, each after those that it needs and as early as it can be: in this order one worker does
    them, and several take whatever can be done.

    refine_steps: None where it is not refined, else in so many bands (`models.tiles`). interpolate, upscale: by how
    much, 1 where it is not done.
    """
    chunks = _chunks(model, num_frames)
    tiles = [] if refine_steps is None else _tiles(model, num_frames, refine_steps, refine_bands)
    pieces = [unit for unit in tiles or chunks if unit.num_frames]
    smoother = _gaps_filled(pieces, interpolate) if interpolate > 1 else pieces
    larger = _enlarged(smoother) if upscale > 1 else smoother
    made_of = {piece.key: made for piece, *made in zip(pieces, smoother, larger, strict=True)}
    later = [made for unit in tiles or chunks for made in (unit, *made_of.get(unit.key, ()))]
    ordered = _as_early_as_can_be(chunks, list(dict.fromkeys(later)))
    ordered.append(Unit(0, Stage.FINISH, 0, 0, interpolated(num_frames, interpolate)))
    return [replace(unit, position=position) for position, unit in enumerate(ordered)]


def awaited(plan: Sequence[Unit]) -> list[tuple[str, ...]]:
    """The units that each one waits for: those it needs, and for the finishing all that no other waits for."""
    read = {key for unit in plan for key in unit.needs}
    ends = tuple(unit.key for unit in plan if unit.key not in read and unit.stage is not Stage.FINISH)
    return [ends if unit.stage is Stage.FINISH else unit.needs for unit in plan]


def _as_early_as_can_be(chunks: Sequence[Unit], later: Sequence[Unit]) -> list[Unit]:
    """The chunks in their order, and after each of them what of the others, in theirs, it was that they waited for."""
    ordered, done, waiting = list[Unit](), set[str](), deque(unit for unit in later if unit not in chunks)
    for chunk in chunks:
        ordered.append(chunk)
        done.add(chunk.key)
        while waiting and done.issuperset(waiting[0].needs):
            ordered.append(waiting.popleft())
            done.add(ordered[-1].key)
    return ordered


def _chunks(model: Model, num_frames: int) -> list[Unit]:
    """The first chunk, and each later one from what the chunk before it has left."""
    units = [Unit(0, Stage.INITIALIZE, 0, 0, min(num_frames, model.chunk_frames))]
    for k in range(1, count_chunks(model, num_frames)):
        first = model.chunk_frames + (k - 1) * model.new_frames
        count = min(num_frames - first, model.new_frames)
        units.append(Unit(0, Stage.STREAM, k, first, count, (_chunk_key(k - 1),)))
    return units


def _tiles(model: Model, num_frames: int, steps: int, bands: int) -> list[Unit]:
    """The tiles of refinement. Each reads the state of the one before it in its band, and of what feeds it."""
    spans = windows(num_frames, model.window_frames, model.window_overlap)
    cut = tiling(model, num_frames, steps, bands)
    keys = {tile: unit_key(Stage.REFINE, index) for index, tile in enumerate(cut.tiles)}
    units = []
    for index, tile in enumerate(cut.tiles):
        before, takes_in = cut.before(tile), cut.enters(tile)
        needs = [keys[before]] if before else []
        needs += [keys[feed] for feed in cut.feeds(tile)]
        needs += [] if takes_in is None else _chunks_of_window(model, spans, takes_in)
        done = cut.leaves(tile) if cut.is_last(tile) else None
        first = 0 if done is None else spans[done][0]
        stop = 0 if done is None else (spans[done + 1][0] if done + 1 < len(spans) else num_frames)
        units.append(Unit(0, Stage.REFINE, index, first, stop - first, tuple(needs)))
    return units


def _gaps_filled(pieces: Sequence[Unit], factor: int) -> list[Unit]:
    """A unit a piece: from the last frame of the piece before it to its own last one."""
    units = []
    for i, piece in enumerate(pieces):
        last = piece.first_frame + piece.num_frames - 1
        first = 0 if i == 0 else (piece.first_frame - 1) * factor + 1
        needs = (*(before.key for before in pieces[max(0, i - 1) : i]), piece.key)
        units.append(Unit(0, Stage.INTERPOLATE, i, first, last * factor + 1 - first, needs))
    return units


def _enlarged(pieces: Sequence[Unit]) -> list[Unit]:
    """A unit a piece, with the same frames."""
    return [
        Unit(0, Stage.UPSCALE, i, piece.first_frame, piece.num_frames, (piece.key,)) for i, piece in enumerate(pieces)
    ]


def _chunk_key(k: int) -> str:
    return unit_key(Stage.STREAM if k else Stage.INITIALIZE, k)


def _chunks_of_window(model: Model, spans: list[tuple[int, int]], i: int) -> tuple[str, ...]:
    """Chunks with the frames that window i adds to those before it."""
    first, last = (spans[i - 1][1] if i else 0), spans[i][1] - 1
    chunk_of = lambda frame: count_chunks(model, frame + 1) - 1  # noqa: E731
    return tuple(_chunk_key(k) for k in range(chunk_of(first), chunk_of(last) + 1))
