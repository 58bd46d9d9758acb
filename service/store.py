"""The store of jobs: every transition is one script, and nothing else writes a job.

The first half is the API's and takes the tenant in every call: a stranger's job looks like none. The second
half is the workers', who hold a `Claim`. Knows nothing of HTTP, Celery, object storage or tensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import redis

from models.model import CatalogError
from models.units import Stage
from service import estimates, ids
from service.database import Database, as_mapping
from service.errors import (
    FramesSpent,
    IdempotencyMismatch,
    NotFound,
    PolicyRefused,
    QueueFull,
    ServiceBusy,
    ServiceError,
    StaleFence,
    TooManyVideos,
    UnreadableRecord,
)
from service.graph import Front
from service.jobs import Claim, Job, JobState, PromptAt, Renewal, UnitDone
from service.keys import at, key
from service.records import read_job, read_unit, record_of
from service.settings import Settings

Order = Literal["asc", "desc"]
PAGE, FEW = 100, 20
EXPECTED_MS = 3_600_000

#: What submit.lua refuses with, and the error that this is.
_REFUSALS: dict[str, Callable[..., ServiceError]] = {
    "busy": lambda: ServiceBusy("Too many videos wait already; try again in a moment."),
    "live_jobs": lambda most: TooManyVideos(
        f"You have {most} videos queued or running, the most allowed; wait for one to end."
    ),
    "queued_jobs": lambda most: QueueFull(f"{most} of your videos wait, the most allowed; wait for one to begin."),
    "frames_per_day": lambda most, wait_s: FramesSpent(
        f"You may order {most} frames a day, and this would be more; the day ends in {wait_s} s (UTC).", wait_s
    ),
}
_DELETED = 1  # and not, 2, kept for others


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key for one request, and the fingerprint of what it asked."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Page:
    jobs: list[Job]
    has_more: bool


class Store:
    def __init__(self, client: redis.Redis, settings: Settings):
        self._db, self._settings = Database(client), settings

    # What the API asks, always for a tenant

    def submit(
        self, job: Job, idempotency: Idempotency | None = None, shared: Sequence[UnitDone] = ()
    ) -> tuple[Job, bool]:
        """Take a job in, or nothing at all. True with the first answer where the same request came before.

        shared: the units of its parent that it need not make. Their objects stay as long as this job.
        """
        hook = job.webhook
        deadline_ms = "" if job.deadline_s is None else int(job.deadline_s * 1000)
        key_and_print = (idempotency.key, idempotency.fingerprint) if idempotency else ("", "")
        front = job.graph().front()
        answer, *rest = self._db.run(
            "submit",
            *(job.id, job.tenant, record_of(job), job.units_total, job.generation.model, job.priority),
            *(deadline_ms, hook.url if hook else "", f" {' '.join(hook.events)} " if hook else ""),
            *(*key_and_print, self._settings.idempotency_ttl_s, self._settings.tenant_live_jobs),
            *(_heritage(job, shared), job.generation.num_frames, self._settings.queue_limit),
            *(self._settings.tenant_queued_jobs, self._settings.tenant_units_at_once),
            *(self._settings.tenant_frames_per_day, int(self._settings.video_ttl_s * 1000)),
            *(*_told(front), self._settings.pool_of(job.generation.model)),
        )
        if answer == "orphan":
            raise NotFound(f"There is no video '{job.ancestry and job.ancestry.video}'.", "video.id")
        if answer == "mismatch":
            raise _mismatch()
        if answer in _REFUSALS:
            raise _REFUSALS[answer](*rest)
        return read_job(as_mapping(rest[0])), answer == "replay"

    def recall(self, tenant: str, idempotency: Idempotency) -> Job | None:
        """What `submit` would answer where the same request came before, for those who store something first."""
        memory = key("idempotency", tenant, idempotency.key)
        told, record, created_at = self._db.command("HMGET", memory, "fingerprint", "record", "created_at")
        if told is None:
            return None
        if told != idempotency.fingerprint:
            raise _mismatch()
        return read_job({"record": record, "created_at": created_at})

    def expect(self, tenant: str, job_id: str) -> None:
        """Objects are about to be stored for a job; if it is not submitted within the hour, they are `discarded`."""
        self._db.run("expect", tenant, job_id, EXPECTED_MS)

    def get(self, tenant: str, job_id: str) -> Job:
        return self.place(tenant, job_id)[0]

    def place(self, tenant: str, job_id: str) -> tuple[Job, int | None]:
        """The job, and how many of the tenant's jobs go before it; None where it waits in no queue."""
        answer = self._db.run("read", tenant, job_id)
        if not answer:
            raise NotFound(f"There is no video '{job_id}'.", "id")
        row, rank = answer
        return read_job(as_mapping(row)), (rank if rank >= 0 else None)

    def page(
        self,
        tenant: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        status: JobState | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Page:
        """A page of the tenant's jobs by age; `after` is the last id of the page before."""
        found: list[Job] = []
        cursor = after or ""
        while True:
            rows = self._db.run("list", key("jobs", tenant), "job", cursor, PAGE, order)
            for _, row in rows:
                job = read_job(as_mapping(row))
                if status in (None, job.state) and (metadata or {}).items() <= job.metadata.items():
                    found.append(job)
                if len(found) > limit:
                    return Page(found[:limit], has_more=True)
            if len(rows) < PAGE:
                return Page(found, has_more=False)
            cursor = rows[-1][0]

    def steer(self, tenant: str, seen: Job, prompts: Sequence[PromptAt]) -> Job | None:
        """Other prompts for what nobody has begun of the job. None where more has begun since it was `seen`."""
        told = json.dumps([prompt.model_dump() for prompt in prompts])
        row = self._db.run("steer", tenant, seen.id, seen.units_done, seen.fence, told)
        if not row:
            raise NotFound(f"There is no video '{seen.id}'.", "id")
        return None if row == "moved" else read_job(as_mapping(row))

    def cancel(self, tenant: str, job_id: str) -> Job:
        """Stop a job; one that is done stays as it is. A running one stops at the next heartbeat of a worker."""
        row = self._db.run("cancel", tenant, job_id, ids.new("evt"))
        if not row:
            raise NotFound(f"There is no video '{job_id}'.", "id")
        return read_job(as_mapping(row))

    def delete(self, tenant: str, job_id: str) -> bool:
        """Forget a job in whatever state; its objects become `discarded`. False where others play some of them."""
        answer = self._db.run("delete", tenant, job_id, self._lease_ms)
        if not answer:
            raise NotFound(f"There is no video '{job_id}'.", "id")
        return bool(answer == _DELETED)

    def finished_part(self, tenant: str, job_id: str) -> list[UnitDone]:
        """The committed units of the tenant's own job."""
        self.get(tenant, job_id)
        return self.committed(job_id)

    # What a worker does, with a claim

    def claim_next(self, worker_id: str, pool: str = "") -> Claim | None:
        """The next unit of a pool: by fair share over tenants, then priority, then age, then plan; None when there
        is none.

        Raises `UnreadableRecord` where a newer release ordered the video.
        """
        while found := self._db.run("claim", worker_id, self._lease_ms, ids.new("evt"), pool):
            (job_id, _, position, attempt), row = found, as_mapping(found[1])
            if position < 0:
                self._tell_front(read_job(row))
                continue
            try:
                job = read_job(row)
            except UnreadableRecord:
                self._db.run("release", job_id, row["fence"], ids.new("evt"))  # the unit is another's to take
                raise
            return Claim(job=job, position=position, attempt=attempt, fence=job.fence, worker_id=worker_id)
        return None

    def _tell_front(self, job: Job) -> None:
        """Work out what can be done of a job of which some is done."""
        try:
            front = job.graph().front([unit.unit for unit in self.committed(job.id)])
        except CatalogError:
            front = Front((0,), {})  # who claims it will say that its model is no longer offered
        self._db.run("front", job.id, job.units_done, *_told(front))

    def renew(self, claim: Claim, step: int = 0, steps: int = 0) -> Renewal:
        """A longer lease. The unit is at `step` of `steps`; 0 of 0 where that is not known."""
        return Renewal(self._db.run("renew", *_holder(claim), self._lease_ms, step, steps, claim.stage))

    def commit(self, claim: Claim, done: UnitDone) -> Job:
        """The unit is done and its objects are stored. Raises `StaleFence` where the claim was lost."""
        segment = done.segment
        row = self._db.run(
            "commit",
            *(*_holder(claim), done.model_dump_json(), json.dumps(claim.job.graph().opens(claim.position))),
            *(done.stage, done.seconds, estimates.pace_now(claim, done.seconds)),
            min(segment.first_frame + segment.num_frames, claim.job.generation.num_frames) if segment else "",
            json.dumps(done.artefacts) if done.artefacts else "",
            json.dumps(done.quality) if done.quality else "",
            *(ids.new("evt"), ids.new("evt"), _chunk(done) if segment else "{}"),
        )
        return self._held(claim, row)

    def fail(self, claim: Claim, code: str, message: str, retryable: bool) -> Job:
        """The unit went wrong: again while attempts are left and it may help, else the job has failed.

        A job that was rejected loses what it has shown, and its objects become `discarded`.
        """
        limit, is_rejected = self._settings.unit_attempts, code == PolicyRefused.code
        told = (code, message, int(retryable), limit, ids.new("evt"), int(is_rejected), self._lease_ms)
        row = self._db.run("fail", *_holder(claim), *told)
        return self._held(claim, row)

    def release(self, claim: Claim) -> Job | None:
        """Give the unit back undone; it was no attempt. A cancelled job ends here. None where it was lost."""
        row = self._db.run("release", *_holder(claim), ids.new("evt"))
        return read_job(as_mapping(row)) if row else None

    def lost(self, claim: Claim) -> None:
        """What was stored under a lost claim is to be erased, however late it was stored."""
        self._db.run("lost", claim.job.tenant, claim.job.id)

    def committed(self, job_id: str) -> list[UnitDone]:
        """What has been done of a job, by its ancestors or by it, whosever it is: for workers only."""
        rows = [
            row for name in ("inherited", "committed") for row in self._db.command("LRANGE", key(name, job_id), 0, -1)
        ]
        return [read_unit(row) for row in rows]

    def done_of(self, job_id: str, units: Collection[str]) -> dict[str, UnitDone]:
        """The same of these units, by key; what was done last is looked at first."""
        found = dict[str, UnitDone]()
        for name in ("committed", "inherited"):
            stop = -1
            while len(found) < len(units):
                rows = self._db.command("LRANGE", key(name, job_id), stop - FEW + 1, stop)
                read = [done for row in rows if (done := read_unit(row)).unit in units]
                found |= {done.unit: done for done in read}
                stop -= FEW
                if len(rows) < FEW:
                    break
        return found

    def has_work(self, pool: str = "") -> bool:
        """Whether a claim would find a unit of that pool."""
        return bool(self._db.command("EXISTS", key("ready", at(pool))))

    def pools(self) -> list[str]:
        """All that videos were ever ordered from; '' is the one without a name."""
        return ["", *sorted(self._db.command("SMEMBERS", key("pools")))]

    # What the sweep does

    def expire_leases(self) -> int:
        """Give back the units of lost workers, and fail the jobs past their deadline; how many there were."""
        attempts = self._settings.unit_attempts
        lost: list[int] = [self._db.run("expire", held, attempts, ids.new("evt")) for held in self._lapsed("leases")]
        late: list[int] = [self._db.run("overdue", job, ids.new("evt")) for job in self._lapsed("deadlines")]
        return sum(lost) + sum(late)

    def expire_videos(self) -> int:
        """Delete the videos whose time is over, just as their tenants could; how many there were."""
        over = self._lapsed("expiries")
        for job in over:
            self._db.run("delete", self._db.command("HGET", key("job", job), "tenant") or "", job, self._lease_ms)
        return len(over)

    def littered(self) -> list[tuple[str, str]]:
        """(tenant, job id) of jobs at their end some of whose claims were lost, when no loser writes any more."""
        entries = self._lapsed("litter", ago_ms=2 * self._lease_ms)
        return [(tenant, job) for tenant, job in (entry.split("/") for entry in entries)]

    def fences(self, job_id: str) -> set[int] | None:
        """Those under which the job's units were committed. None where its objects are not to be touched."""
        found = self._db.run("fences", job_id)
        return None if found is None else set(found)

    def tidied(self, tenant: str, job_id: str) -> None:
        """Nothing is left of those who lost a claim of this job."""
        self._db.command("ZREM", key("litter"), f"{tenant}/{job_id}")

    def discarded(self) -> list[tuple[str, str]]:
        """(tenant, job id) of deleted and of rejected jobs whose objects are to be erased now."""
        return [(tenant, job) for tenant, job in (entry.split("/") for entry in self._lapsed("trash"))]

    def erased(self, tenant: str, job_id: str) -> None:
        """The objects of a deleted job are gone."""
        self._db.run("erased", tenant, job_id)

    def ping(self) -> None:
        """Raises `StoreUnavailable` where Redis does not answer."""
        self._db.command("PING")

    def crowd(self, tenant: str, pool: str = "") -> float:
        """How many videos take turns on each worker of a pool, for this tenant; below 1 where several work on one."""
        return float(self._db.run("crowd", tenant, pool))

    def pace(self) -> dict[tuple[str, str], float]:
        """Seconds that a unit takes, by (model, stage): a moving average over what was done."""
        rows = self._db.command("HGETALL", key("pace"))
        return {(k.split("|")[0], k.split("|")[1]): float(seconds) for k, seconds in rows.items()}

    @property
    def _lease_ms(self) -> int:
        return int(self._settings.lease_ttl_s * 1000)

    def _lapsed(self, name: str, ago_ms: int = 0) -> list[str]:
        members: list[str] = self._db.run("lapsed", key(name), PAGE, ago_ms)
        return members

    def _held(self, claim: Claim, row: list[str] | None) -> Job:
        if not row:
            raise StaleFence(f"Claim {claim.fence} on {claim.job.id} was lost; another worker goes on.")
        return read_job(as_mapping(row))


def _told(front: Front) -> tuple[str, str]:
    """As scripts are told it."""
    return json.dumps(front.ready), json.dumps(front.waits)


def _mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch("This Idempotency-Key was used with another request body.", "Idempotency-Key")


def _heritage(job: Job, shared: Sequence[UnitDone]) -> str:
    """What submit.lua is told of the parent; '' where there is none."""
    if job.ancestry is None:
        return ""
    previews = [done.segment for done in shared if done.segment and done.segment.track == Stage.STREAM.track]
    places = [place for done in shared for place in (done.state_key, done.segment and done.segment.key) if place]
    places += [given.key for given in (job.generation.image, job.generation.clip) if given]
    owners = {place.split("/")[1] for place in places}
    heritage = {
        "parent": job.ancestry.video,
        "units": [done.model_dump_json() for done in shared],
        "owners": sorted(owners),
        "frames": max((segment.first_frame + segment.num_frames for segment in previews), default=0),
    }
    return json.dumps(heritage)


def _chunk(done: UnitDone) -> str:
    """What the event of a chunk says of it; where it is in storage it does not say."""
    segment = done.segment
    assert segment is not None
    frames = {"track": segment.track, "first_frame": segment.first_frame, "num_frames": segment.num_frames}
    return json.dumps({**frames, "duration_s": segment.duration_s, "stage": done.stage, "seconds": done.seconds})


def _holder(claim: Claim) -> tuple[str, int]:
    return claim.job.id, claim.fence
