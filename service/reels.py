"""Reels: the segments of a video, in the order of their frames, as far as they follow one another without a gap.

Committed units are only ever appended, so what was read once is kept and only the rest is asked for: a playlist
that a thousand players poll costs a thousand empty answers. Knows nothing of playlists or HTTP.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import redis

from models import units
from service.database import Database
from service.jobs import Job, Segment
from service.keys import key
from service.records import read_unit

KEPT_JOBS = 256

Rows = tuple[int, tuple[Segment, ...]]  # rows of the committed list that were read, and the segments in them


class Reels:
    def __init__(self, client: redis.Redis):
        self._db, self._lock = Database(client), Lock()
        self._kept: OrderedDict[str, Rows] = OrderedDict()

    def of(self, job: Job, track: str) -> list[Segment]:
        """The segments of one track that can be played from the start; `job` as the store gave it to its tenant."""
        return in_a_row([segment for segment in self._segments(job) if segment.track == track])

    def tracks(self, job: Job) -> dict[str, list[Segment]]:
        """The same of every track."""
        return {track: self.of(job, track) for track in units.TRACKS}

    def _segments(self, job: Job) -> Sequence[Segment]:
        with self._lock:
            kept = self._kept.pop(job.id, None)
        count, segments = kept or (0, self._read("inherited", job.id, 0)[1])
        fresh, more = self._read("committed", job.id, count)
        known = (count + fresh, (*segments, *more))
        with self._lock:
            self._kept[job.id] = known
            while len(self._kept) > KEPT_JOBS:
                self._kept.popitem(last=False)
        return known[1]

    def _read(self, name: str, job_id: str, start: int) -> Rows:
        rows = self._db.command("LRANGE", key(name, job_id), start, -1)
        done = [read_unit(row) for row in rows]
        return len(rows), tuple(unit.segment for unit in done if unit.segment)


def in_a_row(segments: Sequence[Segment]) -> list[Segment]:
    """Those from the first frame on without a gap: what comes later may only be appended to them."""
    row: list[Segment] = []
    for segment in sorted(segments, key=lambda segment: segment.first_frame):
        if segment.first_frame != (row[-1].first_frame + row[-1].num_frames if row else 0):
            break
        row.append(segment)
    return row
