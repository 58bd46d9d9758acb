"""Nobody waits for another's backlog, and a backlog is small."""

from __future__ import annotations

import random
from typing import Any

from service.database import connect
from service.settings import Settings
from service.store import Idempotency, Store
from tests.service.conftest import done, make_job

BACKLOG = 1000
MOST_BYTES = 4000  # of the store's memory, a queued video


def test_one_video_starts_at_once_behind_another_tenants_thousand(redis_url: str, seed: int) -> None:
    """P19."""
    rng, settings = random.Random(seed), Settings(redis_url=redis_url, queue_limit=0, tenant_live_jobs=0)
    store = Store(connect(settings), settings)
    for _ in range(BACKLOG):
        store.submit(make_job("tenant_A", 32))
    for _ in range(rng.randrange(20)):  # some of it is made
        claim = store.claim_next("w")
        assert claim is not None
        store.commit(claim, done(claim))
    single, _ = store.submit(make_job("tenant_B", 32))
    claimed = [claim.job.id for claim in (store.claim_next("w") for _ in range(2)) if claim]
    assert single.id in claimed


def test_a_video_that_waits_takes_less_than_4_kb(redis_url: str) -> None:
    """P20."""
    settings = Settings(redis_url=redis_url, queue_limit=0, tenant_live_jobs=0)
    client = connect(settings)
    store = Store(client, settings)
    store.submit(make_job("tenant_A", 240))

    def used() -> int:
        told: Any = client.info("memory")
        return int(told["used_memory"])

    before, count = used(), 2_000
    for number in range(count):  # with all that an order may leave besides
        store.submit(make_job("tenant_A", 240), Idempotency(f"order-{number}", "f" * 64))
    assert (used() - before) / count < MOST_BYTES
