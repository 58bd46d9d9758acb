"""The promises of the job store, on a real server."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from service import keys
from service.database import connect
from service.errors import IdempotencyMismatch, NotFound, StaleFence, StoreFull, StoreUnavailable, TooManyVideos
from service.jobs import Claim, Job, JobState, Renewal, WebhookTarget
from service.settings import Settings
from service.store import Idempotency, Store
from tests.service.conftest import done, finish, make_job
from tests.support.servers import Valkey


def state(store: Store, job: Job) -> JobState:
    return store.get(job.tenant, job.id).state


def claimed(store: Store, worker: str = "w") -> Claim:
    claim = store.claim_next(worker)
    assert claim is not None
    return claim


# The way of one video


def test_a_video_goes_from_queued_over_in_progress_to_completed(store: Store) -> None:
    job, replayed = store.submit(make_job())
    assert (job.state, replayed) == (JobState.QUEUED, False) and store.has_work()
    assert abs(job.created_at - time.time()) < 5
    claim = claimed(store)
    assert (claim.position, claim.attempt, claim.fence, claim.job.state) == (0, 1, 1, JobState.IN_PROGRESS)
    assert claim.job.started_at and claim.job.stage == "initialize" and not store.has_work()
    job = store.commit(claim, done(claim))
    assert (job.units_done, job.frames, job.opened) == (1, 16, 1) and job.first_frame_at
    job = finish(store)
    assert (job.state, job.units_done, job.frames, job.gpu_seconds) == (JobState.COMPLETED, 4, 32, 2.0)
    assert job.completed_at and job.stage is None and not store.has_work()
    assert [unit.unit for unit in store.committed(job.id)] == [unit.key for unit in job.generation.plan()]


def test_what_the_finishing_made_is_kept_with_the_job(store: Store) -> None:
    store.submit(make_job(num_frames=16))
    claim = claimed(store)
    store.commit(claim, done(claim))
    claim = claimed(store)
    job = store.commit(claim, done(claim, artefacts={"video": "a/b/video.mp4"}, quality={"cuts": 0}))
    assert (job.artefacts, job.quality) == ({"video": "a/b/video.mp4"}, {"cuts": 0})


def test_a_unit_is_claimed_by_one_worker_only(store: Store) -> None:
    store.submit(make_job())
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: store.claim_next(f"w{n}"), range(8)))
    assert sum(claim is not None for claim in claims) == 1


def test_a_lost_answer_to_a_commit_may_be_asked_for_again(store: Store) -> None:
    store.submit(make_job())
    claim = claimed(store)
    report = done(claim)
    assert store.commit(claim, report).units_done == store.commit(claim, report).units_done == 1


def test_a_submit_sent_twice_makes_one_job(store: Store) -> None:
    job = make_job()
    assert store.submit(job)[0].id == store.submit(job)[0].id
    assert len(store.page(job.tenant).jobs) == 1


# Leases and fences


def test_a_lost_worker_costs_one_unit_and_its_late_commit_is_refused(store: Store) -> None:
    store.submit(make_job())
    old = claimed(store, "old")
    store.commit(old, done(old))
    old = claimed(store, "old")
    time.sleep(0.35)
    assert store.expire_leases() == 1
    new = claimed(store, "new")
    assert (new.position, new.attempt, new.fence) == (1, 2, old.fence + 1)
    with pytest.raises(StaleFence):
        store.commit(old, done(old))
    with pytest.raises(StaleFence):
        store.fail(old, "any", "any", True)
    assert store.renew(old) == Renewal.LOST and store.release(old) is None
    assert store.commit(new, done(new)).units_done == 2


def test_a_workers_own_older_claim_is_refused_too(store: Store) -> None:
    """It was paused, lost the unit, and has claimed it again: only the newer claim counts."""
    store.submit(make_job())
    old = claimed(store, "same")
    store.release(old)
    new = claimed(store, "same")
    for refused in (lambda: store.commit(old, done(old)), lambda: store.fail(old, "any", "any", True)):
        with pytest.raises(StaleFence):
            refused()
    assert store.renew(old) == Renewal.LOST and store.release(old) is None
    assert store.commit(new, done(new)).units_done == 1


def test_a_heartbeat_keeps_the_lease(store: Store) -> None:
    store.submit(make_job())
    claim = claimed(store)
    for _ in range(4):
        time.sleep(0.15)
        assert store.renew(claim) == Renewal.HELD
        assert store.expire_leases() == 0


def test_a_unit_that_loses_every_worker_fails_its_job_alone(store: Store) -> None:
    poison, _ = store.submit(make_job("tenant_A"))
    neighbour, _ = store.submit(make_job("tenant_B"))
    while state(store, poison) != JobState.FAILED:
        while claim := store.claim_next("w"):
            if claim.job.id == neighbour.id:
                store.commit(claim, done(claim))
        time.sleep(0.31)
        store.expire_leases()
    error = store.get(poison.tenant, poison.id).error
    assert error and error.code == "worker_lost"
    assert state(store, neighbour) == JobState.COMPLETED


def test_a_unit_given_back_is_no_attempt_and_is_next(store: Store) -> None:
    first, _ = store.submit(make_job())
    store.submit(make_job())
    for _ in range(5):
        claim = claimed(store)
        assert (claim.job.id, claim.attempt) == (first.id, 1)
        store.release(claim)


def test_a_retryable_failure_is_tried_again_until_attempts_are_used_up(store: Store) -> None:
    store.submit(make_job())
    states = []
    for _ in range(3):
        states.append(store.fail(claimed(store), "storage_unavailable", "No answer.", True).state)
    assert states == [JobState.IN_PROGRESS, JobState.IN_PROGRESS, JobState.FAILED]


def test_a_failure_that_retrying_cannot_help_ends_the_job(store: Store) -> None:
    store.submit(make_job())
    job = store.fail(claimed(store), "out_of_memory", "Too large.", False)
    assert job.state == JobState.FAILED and job.error and job.error.code == "out_of_memory"


def test_a_deadline_ends_a_job_whoever_works_on_it(store: Store) -> None:
    waiting, _ = store.submit(make_job("tenant_A", deadline_s=0.05))
    running, _ = store.submit(make_job("tenant_B", deadline_s=0.05))
    claim = claimed(store)
    time.sleep(0.06)
    assert store.expire_leases() == 2
    assert state(store, waiting) == state(store, running) == JobState.FAILED
    assert store.renew(claim) == Renewal.LOST
    with pytest.raises(StaleFence):
        store.commit(claim, done(claim))


# Cancelling and deleting


def test_a_queued_video_is_cancelled_at_once(store: Store) -> None:
    job, _ = store.submit(make_job())
    assert store.cancel(job.tenant, job.id).state == JobState.CANCELLED
    assert store.claim_next("w") is None and not store.has_work()


def test_a_running_video_stops_at_the_next_heartbeat(store: Store) -> None:
    job, _ = store.submit(make_job())
    claim = claimed(store)
    for _ in range(3):
        assert store.cancel(job.tenant, job.id).state == JobState.IN_PROGRESS
    assert store.renew(claim) == Renewal.CANCELLED
    released = store.release(claim)
    assert released and released.state == JobState.CANCELLED and store.claim_next("w") is None


def test_a_cancelled_video_keeps_the_unit_that_was_just_done(store: Store) -> None:
    job, _ = store.submit(make_job())
    claim = claimed(store)
    store.cancel(job.tenant, job.id)
    job = store.commit(claim, done(claim))
    assert (job.state, job.frames) == (JobState.CANCELLED, 16)
    assert len(store.finished_part(job.tenant, job.id)) == 1


def test_a_cancelled_video_whose_worker_died_is_cancelled_by_the_sweep(store: Store) -> None:
    job, _ = store.submit(make_job())
    claimed(store)
    store.cancel(job.tenant, job.id)
    time.sleep(0.31)
    store.expire_leases()
    assert state(store, job) == JobState.CANCELLED


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_nothing_leaves_a_terminal_state(store: Store, end: str) -> None:
    job, _ = store.submit(make_job(num_frames=16))
    claim = claimed(store)
    if end == "failed":
        store.fail(claim, "broken", "Broken.", False)
    elif end == "cancelled":
        store.cancel(job.tenant, job.id)
        store.release(claim)
    else:
        store.commit(claim, done(claim))
        claim = claimed(store)
        store.commit(claim, done(claim))
    before = store.get(job.tenant, job.id)
    assert before.state == end
    assert store.cancel(job.tenant, job.id) == before
    assert store.release(claim) is None and store.expire_leases() == 0 and store.claim_next("w") is None
    with pytest.raises(StaleFence):
        store.fail(claim, "late", "Late.", False)
    assert store.get(job.tenant, job.id) == before


def test_a_deleted_video_is_gone_and_its_objects_are_put_out(store: Store) -> None:
    job, _ = store.submit(make_job())
    claim = claimed(store)
    store.delete(job.tenant, job.id)
    with pytest.raises(NotFound):
        store.get(job.tenant, job.id)
    assert store.renew(claim) == Renewal.LOST
    with pytest.raises(StaleFence):
        store.commit(claim, done(claim))
    assert store.discarded() == [], "its worker may still be writing"
    time.sleep(0.65)
    assert store.discarded() == [(job.tenant, job.id)]
    store.erased(job.tenant, job.id)
    assert store.discarded() == []


def test_deleting_leaves_no_key_behind(store: Store, client: redis.Redis) -> None:
    job, _ = store.submit(make_job())
    claim = claimed(store)
    store.commit(claim, done(claim))
    store.delete(job.tenant, job.id)
    store.erased(job.tenant, job.id)
    assert not [name for name in client.scan_iter("*") if job.id in name]
    assert not store.has_work()


# Who is next


def order(store: Store, claims: int) -> list[str]:
    """The tenants served, one unit each, every unit committed before the next claim."""
    served = []
    for _ in range(claims):
        claim = claimed(store)
        served.append(claim.job.tenant)
        store.commit(claim, done(claim))
    return served


def test_one_tenant_cannot_starve_another(store: Store) -> None:
    for _ in range(20):
        store.submit(make_job("tenant_A"))
    store.submit(make_job("tenant_B"))
    assert order(store, 8).count("tenant_B") == 4


def test_a_tenant_that_was_away_has_saved_nothing_up(store: Store) -> None:
    store.submit(make_job("tenant_A", num_frames=200))
    assert order(store, 10) == ["tenant_A"] * 10
    store.submit(make_job("tenant_B", num_frames=200))
    assert 4 <= order(store, 10).count("tenant_B") <= 6


def test_higher_priority_goes_first_within_a_tenant(store: Store) -> None:
    low, _ = store.submit(make_job(priority=1))
    high, _ = store.submit(make_job(priority=9))
    served = []
    while claim := store.claim_next("w"):
        served.append(claim.job.id)
        store.commit(claim, done(claim))
    assert served == [high.id] * 4 + [low.id] * 4


def test_a_short_video_runs_between_the_units_of_a_long_one(store: Store) -> None:
    store.submit(make_job(num_frames=800))
    assert order(store, 1)
    short, _ = store.submit(make_job(num_frames=16))
    order(store, 4)
    assert state(store, short) == JobState.COMPLETED


# Submitting


def test_the_same_request_again_gets_the_first_answer(store: Store) -> None:
    key = Idempotency("once", "print")
    first, _ = store.submit(make_job(), key)
    claimed(store)
    again, replayed = store.submit(make_job(), key)
    assert replayed and again == first and len(store.page("tenant_A").jobs) == 1


def test_fifty_at_once_with_one_key_make_one_video(store: Store) -> None:
    key = Idempotency("once", "print")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: store.submit(make_job(), key), range(50)))
    assert len({job.id for job, _ in answers}) == 1 and sum(not replayed for _, replayed in answers) == 1


def test_a_key_used_for_another_request_is_refused_and_belongs_to_its_tenant(store: Store) -> None:
    store.submit(make_job(), Idempotency("once", "print"))
    with pytest.raises(IdempotencyMismatch):
        store.submit(make_job(), Idempotency("once", "other"))
    assert store.submit(make_job("tenant_B"), Idempotency("once", "other"))[1] is False


def test_a_key_is_forgotten_after_its_time(client: redis.Redis, settings: Settings) -> None:
    store = Store(client, settings.model_copy(update={"idempotency_ttl_s": 1}))
    first, _ = store.submit(make_job(), Idempotency("once", "print"))
    time.sleep(1.1)
    again, replayed = store.submit(make_job(), Idempotency("once", "other"))
    assert not replayed and again.id != first.id


def test_a_tenant_has_so_many_live_videos_and_no_more(client: redis.Redis, settings: Settings) -> None:
    store = Store(client, settings.model_copy(update={"tenant_live_jobs": 2}))
    first, _ = store.submit(make_job())
    store.submit(make_job())
    with pytest.raises(TooManyVideos):
        store.submit(make_job(), Idempotency("k", "p"))
    store.submit(make_job("tenant_B"))
    store.cancel(first.tenant, first.id)
    assert store.submit(make_job(), Idempotency("k", "p"))[1] is False


def test_a_refused_submit_leaves_nothing_behind(client: redis.Redis, settings: Settings) -> None:
    store = Store(client, settings.model_copy(update={"tenant_live_jobs": 1}))
    store.submit(make_job())
    before = sorted(client.scan_iter("*"))
    with pytest.raises(TooManyVideos):
        store.submit(make_job(), Idempotency("k", "p"))
    assert sorted(client.scan_iter("*")) == before


# Reading


def test_a_strangers_video_looks_like_none(store: Store) -> None:
    job, _ = store.submit(make_job("tenant_A"))
    for call in (store.get, store.cancel, store.delete, store.finished_part):
        with pytest.raises(NotFound):
            call("tenant_B", job.id)
    assert store.page("tenant_B").jobs == [] and state(store, job) == JobState.QUEUED


def test_a_list_is_read_page_by_page_in_both_orders(store: Store) -> None:
    jobs = []
    for n in range(5):
        jobs.append(store.submit(make_job(metadata={"shot": str(n % 2)}))[0].id)
        time.sleep(0.002)
    first = store.page("tenant_A", limit=2)
    assert [job.id for job in first.jobs] == jobs[:2:-1] and first.has_more
    rest = store.page("tenant_A", limit=3, after=first.jobs[-1].id)
    assert [job.id for job in rest.jobs] == jobs[2::-1] and not rest.has_more
    assert [job.id for job in store.page("tenant_A", order="asc").jobs] == jobs
    store.cancel("tenant_A", jobs[3])
    assert [job.id for job in store.page("tenant_A", status=JobState.CANCELLED).jobs] == [jobs[3]]
    assert [job.id for job in store.page("tenant_A", metadata={"shot": "1"}).jobs] == [jobs[3], jobs[1]]


def test_a_place_in_the_queue_is_told(store: Store) -> None:
    ids = [store.submit(make_job())[0].id for _ in range(3)]
    assert [store.place("tenant_A", job_id)[1] for job_id in ids] == [0, 1, 2]
    claimed(store)
    assert store.place("tenant_A", ids[0])[1] is None


def test_the_pace_of_a_stage_is_measured(store: Store) -> None:
    store.submit(make_job())
    finish(store)
    assert store.pace()[("tiny-shapes", "stream")] == pytest.approx(0.5)


def test_events_are_written_in_their_order(store: Store, client: redis.Redis) -> None:
    job, _ = store.submit(make_job())
    finish(store)
    kinds = [fields["type"] for _, fields in client.xrange(keys.key("events", job.id))]
    chunks = ["video.chunk.completed"] * 3
    assert kinds == ["video.in_progress", *chunks, "video.completed"]


# Webhook rows


def test_the_webhook_row_is_written_with_the_terminal_state(store: Store, client: redis.Redis) -> None:
    hook = WebhookTarget(url="https://example.com/hook", events=("video.completed",))
    job, _ = store.submit(make_job(webhook=hook))
    finish(store)
    (row_id,) = client.zrange(keys.key("due"), 0, -1)
    row = client.hgetall(keys.key("delivery", row_id))
    assert (row["type"], row["job_id"], row["state"]) == ("video.completed", job.id, "pending")


# When the server is gone or comes back


def test_what_was_acknowledged_outlives_the_server(store: Store, redis_server: Valkey) -> None:
    jobs = [store.submit(make_job())[0] for _ in range(20)]
    claim = claimed(store)
    redis_server.restart()
    assert len(store.page("tenant_A", limit=100).jobs) == len(jobs)
    assert store.commit(claim, done(claim)).units_done == 1


def test_a_server_that_is_away_is_an_error_soon_and_not_a_hang(store: Store, redis_server: Valkey) -> None:
    redis_server.kill()
    start = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            store.submit(make_job())
    finally:
        redis_server.start()
    assert time.monotonic() - start < 1.5
    store.submit(make_job())


def test_a_full_store_refuses_new_videos_and_finishes_the_old_ones(tmp_path: Path, settings: Settings) -> None:
    with Valkey(tmp_path / "small", None, "--maxmemory", "12mb") as server:
        store = Store(connect(settings.model_copy(update={"redis_url": server.url})), settings)
        with pytest.raises(StoreFull):
            for _ in range(settings.tenant_live_jobs):
                store.submit(make_job(metadata={str(n): "x" * 500 for n in range(16)} | {"y": "z" * 20_000}))
        claim = claimed(store)
        store.commit(claim, done(claim))
        for job in store.page("tenant_A", limit=1000).jobs:
            store.cancel(job.tenant, job.id)
            store.delete(job.tenant, job.id)
        store.submit(make_job())
