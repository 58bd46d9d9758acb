"""What a tenant may take, and that nobody else pays for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from service.errors import FramesSpent, LimitReached, QueueFull, ServiceBusy, TooManyVideos
from service.jobs import Ancestry, Claim, Job
from service.keys import key
from service.limits import Limiter, Limits, Visit
from service.settings import Settings
from service.store import Idempotency, Store
from tests.service.conftest import done, finish, make_job

StoreWith = Callable[..., Store]


@pytest.fixture
def store_with(client: redis.Redis, settings: Settings) -> StoreWith:
    """A store of a service with these settings."""
    return lambda **changes: Store(client, settings.model_copy(update=changes))


@pytest.fixture
def limiter(client: redis.Redis, settings: Settings) -> Limiter:
    return Limiter(client, settings)


def claimed(store: Store) -> Claim:
    claim = store.claim_next("w")
    assert claim is not None
    return claim


# Units at once


def test_a_tenant_at_its_limit_is_passed_over_and_the_others_go_on(store_with: StoreWith) -> None:
    store = store_with(tenant_units_at_once=2)
    for tenant in ["tenant_A"] * 5 + ["tenant_B"] * 5:
        store.submit(make_job(tenant))
    claims = [claimed(store) for _ in range(4)]
    assert sorted(claim.job.tenant for claim in claims) == ["tenant_A"] * 2 + ["tenant_B"] * 2
    assert store.claim_next("w") is None and not store.has_work()
    store.commit(claims[0], done(claims[0]))
    assert store.has_work() and claimed(store).job.tenant == claims[0].job.tenant


@pytest.mark.parametrize("end", ["committed", "failed", "given back", "lost", "deleted", "cancelled"])
def test_however_a_unit_ends_the_next_may_begin(store_with: StoreWith, end: str) -> None:
    store = store_with(tenant_units_at_once=1)
    store.submit(make_job())
    store.submit(make_job())
    claim = claimed(store)
    assert store.claim_next("w") is None
    if end == "committed":
        store.commit(claim, done(claim))
    elif end == "failed":
        store.fail(claim, "broken", "Broken.", False)
    elif end == "given back":
        store.release(claim)
    elif end == "lost":
        time.sleep(0.31)
        store.expire_leases()
    elif end == "deleted":
        store.delete(claim.job.tenant, claim.job.id)
    else:
        store.cancel(claim.job.tenant, claim.job.id)
        store.release(claim)
    assert claimed(store) and store.claim_next("w") is None


def test_a_limit_of_units_costs_nobody_else_their_share(store_with: StoreWith, limiter: Limiter) -> None:
    """Three workers, three tenants, of whom one may have a single unit in work."""
    store = store_with()
    limiter.limit("tenant_A", {"units_at_once": 1})
    for tenant in ("tenant_A", "tenant_B", "tenant_C"):
        for _ in range(3):
            store.submit(make_job(tenant, num_frames=800))
    held, served = [claimed(store) for _ in range(3)], []
    for _ in range(60):
        oldest = held.pop(0)
        store.commit(oldest, done(oldest))
        held.append(claimed(store))
        served.append(held[-1].job.tenant)
        assert [claim.job.tenant for claim in held].count("tenant_A") <= 1
    assert all(18 <= served.count(tenant) <= 22 for tenant in ("tenant_A", "tenant_B", "tenant_C"))


def test_a_limit_that_is_raised_lets_work_that_waits_begin(store_with: StoreWith, limiter: Limiter) -> None:
    store = store_with(tenant_units_at_once=1)
    store.submit(make_job())
    store.submit(make_job())
    claimed(store)
    assert not store.has_work()
    limiter.limit("tenant_A", {"units_at_once": 2})
    assert claimed(store)


# Videos


def test_so_many_videos_may_wait_and_those_that_run_are_not_among_them(store_with: StoreWith) -> None:
    store = store_with(tenant_queued_jobs=2)
    store.submit(make_job())
    store.submit(make_job())
    with pytest.raises(QueueFull, match="2 of your videos wait"):
        store.submit(make_job())
    claim = claimed(store)
    store.submit(make_job())
    store.commit(claim, done(claim))  # it waits for a worker again, and has begun nevertheless
    with pytest.raises(QueueFull):
        store.submit(make_job())
    store.submit(make_job("tenant_B"))


def test_above_the_bound_of_the_whole_service_nobody_gets_in(store_with: StoreWith, client: redis.Redis) -> None:
    store = store_with(queue_limit=3)
    jobs = [store.submit(make_job(tenant))[0] for tenant in ("tenant_A", "tenant_B", "tenant_C")]
    before = sorted(client.scan_iter("*"))
    with pytest.raises(ServiceBusy):
        store.submit(make_job("tenant_D"))
    assert sorted(client.scan_iter("*")) == before
    store.cancel(jobs[0].tenant, jobs[0].id)
    store.submit(make_job("tenant_D"))


def test_an_order_that_was_taken_is_answered_again_whatever_is_full(store_with: StoreWith) -> None:
    store = store_with(tenant_live_jobs=1, tenant_queued_jobs=1, tenant_frames_per_day=32, queue_limit=1)
    first, _ = store.submit(make_job(), Idempotency("once", "print"))
    again, replayed = store.submit(make_job(), Idempotency("once", "print"))
    assert replayed and again.id == first.id


# Frames a day


def spent(limiter: Limiter, tenant: str = "tenant_A") -> int:
    return limiter.usage(tenant).frames_today


def test_so_many_frames_may_be_ordered_a_day(store_with: StoreWith, limiter: Limiter) -> None:
    store = store_with(tenant_frames_per_day=100)
    store.submit(make_job(num_frames=64))
    with pytest.raises(FramesSpent) as refused:
        store.submit(make_job(num_frames=40))
    assert 0 < (refused.value.retry_after_s or 0) <= 86_400
    store.submit(make_job(num_frames=36))
    store.submit(make_job("tenant_B", num_frames=100))
    assert spent(limiter) == 100


def test_the_frames_of_yesterday_do_not_count(store_with: StoreWith, client: redis.Redis) -> None:
    store = store_with(tenant_frames_per_day=32)
    store.submit(make_job())
    (today,) = client.scan_iter(key("frames", "tenant_A", "*"))
    assert 86_400 < client.ttl(today) <= 2 * 86_400
    client.rename(today, key("frames", "tenant_A", str(int(today.rsplit(":", 1)[1]) - 1)))
    store.submit(make_job())


def test_frames_that_are_never_made_are_given_back(store_with: StoreWith, limiter: Limiter) -> None:
    store = store_with(tenant_frames_per_day=1000)

    def begun() -> Job:
        store.submit(make_job())
        claim = claimed(store)
        return store.commit(claim, done(claim))  # 16 of 32 frames

    cancelled = begun()
    store.cancel(cancelled.tenant, cancelled.id)
    assert spent(limiter) == 16
    store.delete(cancelled.tenant, cancelled.id)  # at its end nothing is given back twice
    assert spent(limiter) == 16
    begun()
    store.fail(claimed(store), "broken", "Broken.", False)
    assert spent(limiter) == 32
    deleted = begun()
    store.delete(deleted.tenant, deleted.id)
    assert spent(limiter) == 48
    store.submit(make_job())
    finish(store)
    assert spent(limiter) == 80


def test_a_rejected_video_gives_nothing_back(store_with: StoreWith, limiter: Limiter) -> None:
    store = store_with()
    store.submit(make_job())
    store.fail(claimed(store), "policy_refused", "Not allowed.", False)
    assert spent(limiter) == 32


def test_only_the_new_frames_of_an_extension_count(store_with: StoreWith, limiter: Limiter) -> None:
    store = store_with(tenant_frames_per_day=48)
    parent, _ = store.submit(make_job(num_frames=32))
    finish(store)
    place = {"key": f"tenant_A/{parent.id}/preview/0.m4s"}
    made = [(unit, unit.segment) for unit in store.committed(parent.id) if unit.segment]
    shared = [unit.model_copy(update={"segment": segment.model_copy(update=place)}) for unit, segment in made]
    longer = make_job(num_frames=48)
    longer = longer.model_copy(
        update={"ancestry": Ancestry(kind="extension", video=parent.id, at_frame=32, chunks=3), "units_total": 3}
    )
    store.submit(longer, shared=shared)
    assert spent(limiter) == 48
    store.cancel(longer.tenant, longer.id)
    assert spent(limiter) == 32


@pytest.mark.parametrize(
    "limits", [{"tenant_live_jobs": 7}, {"tenant_queued_jobs": 7}, {"tenant_frames_per_day": 7 * 32}]
)
def test_no_limit_can_be_passed_by_asking_at_once(store_with: StoreWith, limits: dict[str, int]) -> None:
    store = store_with(**limits)

    def taken(_: int) -> bool:
        try:
            return not store.submit(make_job())[1]
        except LimitReached:
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(taken, range(40))) == 7


# Requests


def test_a_bucket_of_requests_empties_and_fills_again(client: redis.Redis, settings: Settings) -> None:
    limiter = Limiter(client, settings.model_copy(update={"tenant_requests_per_minute": 600}))
    began, allowed = time.monotonic(), list[Visit]()
    while not (refused := limiter.visit("tenant_A")).wait_s:
        allowed.append(refused)
    filled = 10 * (time.monotonic() - began)  # meanwhile
    assert 600 <= len(allowed) <= 601 + filled and refused.wait_s == 1 and refused.refuse().retry_after_s == 1
    assert allowed[0].headers()["RateLimit-Policy"] == '"requests";q=600;w=60'
    assert allowed[0].headers()["RateLimit"] == '"requests";r=599;t=1'
    assert refused.headers()["RateLimit"] == '"requests";r=0;t=60'
    assert not limiter.visit("tenant_B").wait_s
    time.sleep(0.35)
    assert [limiter.visit("tenant_A").wait_s for _ in range(3)] == [0, 0, 0]
    assert 0 < client.pttl(key("bucket", "tenant_A")) <= 60_000, "a tenant that is quiet leaves nothing behind"


def test_a_refused_request_writes_nothing(client: redis.Redis, settings: Settings) -> None:
    limiter = Limiter(client, settings.model_copy(update={"tenant_requests_per_minute": 1}))
    assert not limiter.visit("tenant_A").wait_s
    before = client.hgetall(key("bucket", "tenant_A"))
    assert 59 <= limiter.visit("tenant_A").wait_s <= 60
    assert client.hgetall(key("bucket", "tenant_A")) == before


def test_what_is_left_of_the_frames_is_told_beside_the_requests(store_with: StoreWith, limiter: Limiter) -> None:
    limiter.limit("tenant_A", {"frames_per_day": 100, "requests_per_minute": 60})
    store_with().submit(make_job())
    headers = limiter.visit("tenant_A").headers()
    assert headers["RateLimit-Policy"] == '"requests";q=60;w=60, "frames";q=100;w=86400;qu="frames"'
    assert headers["RateLimit"].startswith('"requests";r=59;t=1, "frames";r=68;t=')


def test_without_limits_nothing_is_said_and_nothing_written(client: redis.Redis, settings: Settings) -> None:
    limiter = Limiter(client, settings.model_copy(update={"tenant_requests_per_minute": 0}))
    assert limiter.visit("tenant_A").headers() == {} and not list(client.scan_iter("*"))


# Whose limits


def test_a_tenants_own_limits_go_before_the_defaults_until_they_are_taken_away(
    store_with: StoreWith, limiter: Limiter, settings: Settings
) -> None:
    store = store_with(tenant_live_jobs=1)
    assert limiter.limit("tenant_A", {"live_jobs": 2}).live_jobs == 2 and limiter.own("tenant_A") == {"live_jobs": 2}
    store.submit(make_job())
    store.submit(make_job())
    with pytest.raises(TooManyVideos, match="2 videos"):
        store.submit(make_job())
    store.submit(make_job("tenant_B"))
    with pytest.raises(TooManyVideos, match="1 video"):
        store.submit(make_job("tenant_B"))
    assert limiter.limit("tenant_A", {"live_jobs": None}).live_jobs == settings.tenant_live_jobs
    assert limiter.of("tenant_B") == Limits(
        live_jobs=1000, queued_jobs=0, units_at_once=0, frames_per_day=0, requests_per_minute=6000
    )


def test_what_a_tenant_has_taken_is_told(store_with: StoreWith, limiter: Limiter) -> None:
    store = store_with()
    store.submit(make_job())
    store.submit(make_job())
    claimed(store)
    usage = limiter.usage("tenant_A")
    assert (usage.live_jobs, usage.queued_jobs, usage.units_at_once, usage.frames_today) == (2, 1, 1, 64)
