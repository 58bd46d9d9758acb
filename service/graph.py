"""What of a video can be made now: its units as a graph, each of which waits for some others.

A unit waits for those whose states it reads, and the finishing for all. The store keeps no graph, only the front of the
work: the units that can be claimed, those in work, and of each next one how many it still waits for. Everything else
follows from the plan. Pure functions; knows units and their positions, nothing of Redis.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from models import units
from models.units import Unit


@dataclass(frozen=True, slots=True)
class Front:
    """Positions of units: those that can be begun, and of those that wait for some that are done for how many more."""

    ready: tuple[int, ...]
    waits: Mapping[int, int]


class WorkGraph:
    """plan: the whole of a video; work: the units of it that are to be made, in an order in which they can be."""

    def __init__(self, plan: Sequence[Unit], work: Sequence[Unit]):
        self.work = tuple(work)
        self._place = {unit.key: position for position, unit in enumerate(work)}
        awaited = dict(zip((unit.key for unit in plan), units.awaited(plan), strict=True))
        self._awaits = [tuple(self._place[key] for key in awaited[unit.key] if key in self._place) for unit in work]
        self._opens: list[list[tuple[int, int]]] = [[] for _ in work]
        for position, awaits in enumerate(self._awaits):
            for before in awaits:
                self._opens[before].append((position, len(awaits)))

    def awaited(self, position: int) -> tuple[int, ...]:
        """The units that this one waits for."""
        return self._awaits[position]

    def opens(self, position: int) -> list[tuple[int, int]]:
        """The units that wait for this one, and for how many each waits in all."""
        return self._opens[position]

    def front(self, done: Collection[str] = ()) -> Front:
        """Where the work stands when the units with these keys are done."""
        made = {self._place[key] for key in done if key in self._place}
        more = {
            position: len(set(awaits) - made) for position, awaits in enumerate(self._awaits) if position not in made
        }
        ready = tuple(position for position, count in more.items() if not count)
        return Front(ready, {p: n for p, n in more.items() if 0 < n < len(self._awaits[p])})

    def left(self, front: Collection[int]) -> tuple[int, ...]:
        """What is not done: the units that are ready or in work, and all that wait for them."""
        left = set[int]()
        for position, awaits in enumerate(self._awaits):
            if position in front or not left.isdisjoint(awaits):
                left.add(position)
        return tuple(sorted(left))
