"""Whatever the order of events, the store keeps its invariants: a state machine against a plain model of it."""

from __future__ import annotations

import json

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from service.database import connect
from service.errors import NotFound, StaleFence, TooManyVideos
from service.jobs import Claim, Job, JobState, Refine, Renewal, WebhookTarget
from service.keys import at, key
from service.settings import Settings
from service.store import Store
from tests.service.conftest import done, make_job

TENANTS = ("tenant_A", "tenant_B")
MODELS = {"": "tiny-shapes", "large": "tiny-shapes-turbo"}  # by the pool that makes them
HOOK = WebhookTarget(url="https://a.example/", events=("video.completed", "video.failed", "video.cancelled"))


class Life(RuleBasedStateMachine):
    """Jobs of two tenants and two models, workers of two pools, and time that runs out when a rule says so."""

    url: str
    jobs, claims = Bundle("jobs"), Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        limits = {"tenant_live_jobs": 4, "tenant_units_at_once": 2, "pools": {MODELS["large"]: "large"}}
        self.settings = Settings(redis_url=self.url, lease_ttl_s=1000, unit_attempts=3, **limits)  # type: ignore[arg-type]
        self.redis: redis.Redis = connect(self.settings)
        self.redis.flushall()
        self.store = Store(self.redis, self.settings)
        self.ended: dict[str, Job] = {}  # as they were when they ended
        self.fences: dict[str, int] = {}
        self.known: dict[str, str] = {}  # id -> tenant, of jobs that are not deleted
        self.forgotten = dict.fromkeys(TENANTS, 0)  # frames that deleted jobs have made

    def teardown(self) -> None:
        self.redis.close()

    def look(self, job: Job) -> None:
        """A terminal state that was seen once never changes."""
        if job.state.is_terminal:
            assert self.ended.setdefault(job.id, job) == job

    @rule(
        target=jobs,
        tenant=st.sampled_from(TENANTS),
        frames=st.sampled_from([8, 32]),
        bands=st.integers(0, 3),
        priority=st.integers(0, 9),
        pool=st.sampled_from([*MODELS]),
    )
    def submit(self, tenant: str, frames: int, bands: int, priority: int, pool: str) -> str:
        refine = Refine(steps=3, strength=0.5, bands=bands) if bands else None
        job = make_job(tenant, frames, refine=refine, model=MODELS[pool], priority=priority, webhook=HOOK)
        try:
            self.store.submit(job)
            self.known[job.id] = tenant
        except TooManyVideos:
            live = [1 for i, t in self.known.items() if t == tenant and i not in self.ended]
            assert len(live) >= self.settings.tenant_live_jobs
        return job.id

    @rule(target=claims, worker=st.sampled_from("xy"), pool=st.sampled_from([*MODELS]))
    def claim(self, worker: str, pool: str) -> Claim | None:
        had_work = self.store.has_work(pool)
        claim = self.store.claim_next(worker, pool)
        assert (claim is not None) == had_work
        if claim:
            assert (claim.job.pool, claim.job.generation.model) == (pool, MODELS[pool])
            assert claim.fence > self.fences.get(claim.job.id, 0), "fences only grow"
            self.fences[claim.job.id] = claim.fence
        return claim

    def holds(self, claim: Claim) -> bool:
        return self.redis.zscore(key("leases"), f"{claim.job.id}/{claim.fence}") is not None

    @rule(claim=consumes(claims))
    def commit(self, claim: Claim | None) -> None:
        if claim is None:
            return
        held = self.holds(claim)
        try:
            self.look(self.store.commit(claim, done(claim)))
            assert held
        except StaleFence:
            assert not held

    @rule(claim=consumes(claims), retryable=st.booleans())
    def fail(self, claim: Claim | None, retryable: bool) -> None:
        if claim is None:
            return
        held = self.holds(claim)
        try:
            self.look(self.store.fail(claim, "broken", "Broken.", retryable))
            assert held
        except StaleFence:
            assert not held

    @rule(claim=claims)
    def release(self, claim: Claim | None) -> None:
        if claim is not None:
            held = self.holds(claim)
            assert (self.store.release(claim) is not None) == held

    @rule(claim=claims)
    def renew(self, claim: Claim | None) -> None:
        if claim is not None:
            ended = self.ended.get(claim.job.id)
            is_cancelled = ended is not None and ended.state is JobState.CANCELLED and claim.job.id in self.known
            assert (self.store.renew(claim) != Renewal.LOST) == (self.holds(claim) or is_cancelled)

    @rule()
    def time_runs_out(self) -> None:
        """Every lease is over, and the sweep comes by."""
        for lease in self.redis.zrange(key("leases"), 0, -1):
            self.redis.zadd(key("leases"), {lease: 1})
        self.store.expire_leases()

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        if job_id in self.known:
            self.look(self.store.cancel(self.known[job_id], job_id))

    @rule(job_id=jobs)
    def delete(self, job_id: str) -> None:
        if job_id in self.known:
            tenant = self.known.pop(job_id)
            self.forgotten[tenant] += self.frames(self.store.get(tenant, job_id), is_ended=True)
            self.store.delete(tenant, job_id)

    @rule(job_id=jobs)
    def a_stranger_looks(self, job_id: str) -> None:
        with pytest.raises(NotFound):
            self.store.get("tenant_C", job_id)

    @invariant()
    def every_unit_of_a_live_job_is_in_exactly_one_place(self) -> None:
        """Done, in work, ready, or waiting for some that are not done; and a job is queued while some are ready."""
        jobs = {job_id: self.store.get(tenant, job_id) for job_id, tenant in self.known.items()}
        live = {job_id: job for job_id, job in jobs.items() if not job.state.is_terminal}
        leases = {f"{job.id}/{work.fence}" for job in live.values() for work in job.working.values()}
        assert set(self.redis.zrange(key("leases"), 0, -1)) == leases
        for job in live.values():
            done = {unit.unit for unit in self.store.committed(job.id)}
            front = job.graph().front(done)
            assert not {*job.ready} & {*job.working} and {*front.ready} == {*job.ready} | {*job.working}
            assert json.loads(self.redis.hget(key("job", job.id), "waits") or "{}") == {
                str(position): count for position, count in front.waits.items()
            }
            assert [job.plan[position].key in done for position in job.left] == [False] * len(job.left)
            assert len(job.left) == job.units_total - job.units_done
        for tenant in TENANTS:
            own = {job_id for job_id, job in live.items() if job.tenant == tenant}
            working = {lease for lease in leases if lease.split("/")[0] in own}
            assert self.redis.smembers(key("working", tenant)) == working and len(working) <= 2
            for pool in MODELS:
                queued = {job_id for job_id in own if live[job_id].ready and live[job_id].pool == pool}
                assert set(self.redis.zrange(key("queue", tenant, at(pool)), 0, -1)) == queued
                is_ready = self.redis.zscore(key("ready", at(pool)), tenant) is not None
                assert is_ready == (bool(queued) and len(working) < 2)
            waiting = {job_id for job_id in own if live[job_id].state == JobState.QUEUED}
            assert self.redis.smembers(key("waiting", tenant)) == waiting
        for job in jobs.values():
            self.look(job)
            assert len(self.store.committed(job.id)) == job.units_done <= job.units_total

    @invariant()
    def the_figures_are_those_of_the_jobs(self) -> None:
        jobs = [self.store.get(tenant, job_id) for job_id, tenant in self.known.items()]
        counts = self.redis.hgetall(key("counts"))
        assert {state: int(counts.get(state, 0)) for state in JobState} == counted(jobs)
        for owners, told in (
            (TENANTS, counts),
            *(((each,), self.redis.hgetall(key("in_pools", each))) for each in TENANTS),
        ):
            inside = [job for job in jobs if job.pool == "large" and job.tenant in owners]
            assert {state: int(told.get(f"{state}|large", 0)) for state in JobState} == counted(inside)
            assert int(told.get("working|large", 0)) == sum(len(job.working) for job in inside)

    def frames(self, job: Job, is_ended: bool) -> int:
        """What a job counts against its day: what it has made, and while it lives all that it will make."""
        is_whole = job.state == JobState.COMPLETED or not (is_ended or job.state.is_terminal)
        return job.generation.num_frames if is_whole else job.frames

    @invariant()
    def the_frames_of_the_day_are_those_that_were_or_will_be_made(self) -> None:
        for tenant in TENANTS:
            jobs = [self.store.get(tenant, job_id) for job_id, owner in self.known.items() if owner == tenant]
            counted = sum(int(self.redis.get(name)) for name in self.redis.scan_iter(key("frames", tenant, "*")))
            assert counted == self.forgotten[tenant] + sum(self.frames(job, is_ended=False) for job in jobs)

    @invariant()
    def every_end_has_exactly_one_webhook_row(self) -> None:
        rows = [self.redis.hgetall(key("delivery", row)) for row in self.redis.zrange(key("due"), 0, -1)]
        told = [row["job_id"] for row in rows]
        assert len(told) == len(set(told)) and set(self.ended) <= set(told)


def counted(jobs: list[Job]) -> dict[JobState, int]:
    return {state: sum(job.state == state for job in jobs) for state in JobState}


def test_no_order_of_events_breaks_the_store(redis_url: str) -> None:
    Life.url = redis_url
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Life,
        settings=settings(max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=checks),
    )
