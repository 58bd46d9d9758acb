"""A fleet of workers and the videos that come to it, in simulated time.

The units of a video are its real ones (`models.units`), and who is next is decided as in the job store
(service/lua/claim.lua): the tenant with the smallest share, of its videos the one that has waited longest, of that
one's units the first of its plan; a video whose unit was claimed waits again behind the others. Simulated is only how
long things take. Knows neither the store nor a clock, so a day of ten thousand videos takes seconds.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from models import units
from models.model import Model
from models.units import Stage, Unit

#: Seconds a unit by its stage; of refinement a look at a window, since tiles hold as many as they do.
Pace = Mapping[Stage, float]


@dataclass(frozen=True)
class Work:
    """What a video is: the seconds of each unit, for how many others it waits, and which ones wait for it."""

    seconds: tuple[float, ...]
    waits: tuple[int, ...]
    opens: tuple[tuple[int, ...], ...]
    shown: frozenset[int]  # units that show frames

    @property
    def total_s(self) -> float:
        """What one worker takes for it."""
        return sum(self.seconds)


@dataclass(frozen=True, slots=True)
class Order:
    at_s: float
    work: Work
    tenant: str = ""


@dataclass(frozen=True)
class Outcome:
    """Seconds from each order to its first frames and to its end, in the order of the orders."""

    first_s: tuple[float, ...]
    whole_s: tuple[float, ...]
    busy_s: float  # of all workers together, in units
    span_s: float  # from the first order to the last end


@dataclass(slots=True)
class _Video:
    order: Order
    waits: list[int]
    ready: list[int]
    left: int
    first_s: float | None = None
    whole_s: float = 0.0


@dataclass(slots=True)
class _Tenant:
    share: int = 0
    queue: deque[_Video] = field(default_factory=deque)  # who has waited longest comes first


def work(model: Model, num_frames: int, refine_steps: int | None, pace: Pace) -> Work:
    """A video of that model, refined in so many steps or (None) not."""
    plan = units.plan(model, num_frames, refine_steps, refine_bands=model.refine_bands)
    tiling = units.tiling(model, num_frames, refine_steps, model.refine_bands) if refine_steps else None
    position = {unit.key: unit.position for unit in plan}
    awaited = units.awaited(plan)
    opens: list[list[int]] = [[] for _ in plan]
    for unit, needs in zip(plan, awaited, strict=True):
        for need in needs:
            opens[position[need]].append(unit.position)

    def looks(unit: Unit) -> int:
        return tiling.looks(tiling.tiles[unit.index]) if tiling and unit.stage is Stage.REFINE else 1

    return Work(
        tuple(pace[unit.stage] * looks(unit) for unit in plan),
        tuple(len(needs) for needs in awaited),
        tuple(map(tuple, opens)),
        frozenset(unit.position for unit in plan if unit.num_frames and unit.stage is not Stage.FINISH),
    )


def simulate(orders: Sequence[Order], workers: int, between_s: float = 0.0) -> Outcome:
    """So many workers, each of which needs `between_s` from the end of a unit to the beginning of the next."""
    fleet = _Fleet(workers, between_s)
    for order in sorted(orders, key=lambda order: order.at_s):
        fleet.order(order)
    fleet.run()
    videos = fleet.videos
    firsts = tuple(video.first_s or 0.0 for video in videos)
    begun = videos[0].order.at_s if videos else 0.0
    return Outcome(firsts, tuple(video.whole_s for video in videos), fleet.busy_s, fleet.now - begun)


def p95(values: Sequence[float]) -> float:
    """What 95 of 100 of them are at most; of two or more."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


class _Fleet:
    def __init__(self, workers: int, between_s: float):
        self.free, self.between_s = workers, between_s
        self.now = self.busy_s = 0.0
        self.videos = list[_Video]()
        self._tenants = dict[str, _Tenant]()
        self._share = 0  # of the tenant that was served last: who comes back begins there
        self._ties = itertools.count()
        self._events = list[tuple[float, int, Callable[[], None]]]()

    def order(self, order: Order) -> None:
        waits = order.work.waits
        ready = [position for position, count in enumerate(waits) if not count]
        video = _Video(order, list(waits), ready, len(waits))
        self.videos.append(video)
        self._at(order.at_s, partial(self._enqueue, video))

    def run(self) -> None:
        while self._events:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
            while self.free and (claimed := self._claim()):
                self._begin(*claimed)

    def _at(self, when: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._ties), happens))

    def _enqueue(self, video: _Video) -> None:
        tenant = self._tenants.setdefault(video.order.tenant, _Tenant())
        if not tenant.queue:
            tenant.share = max(tenant.share, self._share)
        tenant.queue.append(video)

    def _claim(self) -> tuple[_Video, int] | None:
        waiting = [tenant for tenant in self._tenants.values() if tenant.queue]
        if not waiting:
            return None
        tenant = min(waiting, key=lambda tenant: tenant.share)
        self._share = tenant.share
        tenant.share += 1
        video = tenant.queue.popleft()
        position = video.ready.pop(0)
        if video.ready:
            tenant.queue.append(video)
        return video, position

    def _begin(self, video: _Video, position: int) -> None:
        seconds = video.order.work.seconds[position]
        self.free -= 1
        self.busy_s += seconds
        self._at(self.now + seconds, partial(self._commit, video, position))

    def _commit(self, video: _Video, position: int) -> None:
        self._at(self.now + self.between_s, self._come_free)
        work, was_waiting = video.order.work, bool(video.ready)
        if video.first_s is None and position in work.shown:
            video.first_s = self.now - video.order.at_s
        for after in work.opens[position]:
            video.waits[after] -= 1
            if not video.waits[after]:
                video.ready.append(after)
        video.ready.sort()
        video.left -= 1
        if not video.left:
            video.whole_s = self.now - video.order.at_s
        elif video.ready and not was_waiting:
            self._enqueue(video)

    def _come_free(self) -> None:
        self.free += 1
