"""The outbox of webhooks: rows written with the state they tell of, and the attempts to post them.

A row carries the job as it was then, so what is posted is the same at every attempt, whatever became of the
job. Knows nothing of signatures or HTTP; jobs are written by `service.store` alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from enum import StrEnum

import redis
from pydantic import Field

from service.database import Database, as_mapping
from service.errors import NotFound, UnreadableRecord
from service.jobs import Job, Record
from service.keys import key
from service.records import read_job
from service.settings import Settings

log = logging.getLogger(__name__)

HOLD_EXTRA_S = 15.0


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DISABLED = "disabled"  # the receiver said 410: nothing more is posted to it


class Attempt(Record):
    """One try to post a row: what was answered, or why there was no answer."""

    at: float
    seconds: float
    status: int | None = None
    error: str | None = None
    reply: str = ""


class Delivery(Record):
    """One row. Its id is the event's, and the `webhook-id` of every attempt."""

    id: str
    tenant: str
    job_id: str
    type: str
    url: str
    created_at: float
    state: DeliveryState
    attempts: int
    job: Job
    log: tuple[Attempt, ...] = Field(default=())


class Outbox:
    def __init__(self, client: redis.Redis, settings: Settings):
        self._db, self._hold_ms = Database(client), int((settings.webhook_timeout_s + HOLD_EXTRA_S) * 1000)

    # What the deliverer does

    def take_due(self, limit: int) -> list[Delivery]:
        """Rows to post now. Whoever dies with one, or cannot read it, leaves it due again after the time-out."""
        return list(_readable(as_mapping(row) for row in self._db.run("take_due", limit, self._hold_ms)))

    def record(self, row: Delivery, attempt: Attempt, outcome: DeliveryState, delay_s: float = 0) -> None:
        """What came of posting a row; with outcome `pending` it is due again after `delay_s`."""
        words = (attempt.model_dump_json(), str(outcome), int(delay_s * 1000), row.url)
        self._db.run("record_attempt", row.id, *words)

    # What a tenant may ask

    def page(self, tenant: str, *, after: str | None = None, limit: int = 20) -> tuple[list[Delivery], bool]:
        """The tenant's rows, the newest first, and whether there are more. What has expired is passed over."""
        found: list[tuple[str, list[str]]] = []
        cursor = after or ""
        while True:
            rows = self._db.run("list", key("deliveries", tenant), "delivery", cursor, limit + 1, "desc")
            found += [(row_id, row) for row_id, row in rows if row]
            if len(found) > limit or len(rows) <= limit:
                kept = [_read(as_mapping(row), self._log(row_id)) for row_id, row in found[:limit]]
                return kept, len(found) > limit
            cursor = rows[-1][0]

    def redeliver(self, tenant: str, delivery_id: str) -> Delivery:
        """Post a row again, now."""
        row = self._db.run("redeliver", tenant, delivery_id)
        if not row:
            raise NotFound(f"There is no delivery '{delivery_id}'.", "id")
        return _read(as_mapping(row), self._log(delivery_id))

    def _log(self, delivery_id: str) -> tuple[Attempt, ...]:
        lines = self._db.command("LRANGE", key("attempts", delivery_id), -50, -1)
        return tuple(Attempt.model_validate_json(line) for line in lines)


def _readable(rows: Iterable[dict[str, str]]) -> Iterator[Delivery]:
    for row in rows:
        try:
            yield _read(row)
        except UnreadableRecord as error:
            log.error("event left for a newer release", extra={"event": row["id"], "reason": error.message})


def _read(row: dict[str, str], log: tuple[Attempt, ...] = ()) -> Delivery:
    return Delivery(
        id=row["id"],
        tenant=row["tenant"],
        job_id=row["job_id"],
        type=row["type"],
        url=row["url"],
        created_at=int(row["created_at"]) / 1000,
        state=DeliveryState(row["state"]),
        attempts=int(row["attempts"]),
        job=read_job(as_mapping(json.loads(row["job"]))),
        log=log,
    )
