"""Pools: each model's videos are made by the workers of its pool, and what one pool has is nothing to another."""

from __future__ import annotations

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest

from service.jobs import JobState
from service.ledger import Ledger
from service.objects import open_objects
from service.settings import Settings
from service.store import Store
from service.telemetry import StoreCollector
from service.tenants import Tenants
from tests.service.conftest import done, make_job

LARGE = "tiny-shapes-turbo"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pools": {LARGE: "large"}})


def next_of(store: Store, pool: str) -> str:
    """The tenant whose unit is next, which is then done."""
    claim = store.claim_next("w", pool)
    assert claim is not None
    store.commit(claim, done(claim))
    return claim.job.tenant


def test_a_worker_is_given_units_of_its_pool_only(store: Store) -> None:
    small, large = store.submit(make_job())[0], store.submit(make_job(model=LARGE))[0]
    assert (small.pool, large.pool) == ("", "large") and store.pools() == ["", "large"]
    for pool, job in (("large", large), ("", small)):
        claim = store.claim_next("w", pool)
        assert claim is not None and claim.job.id == job.id
        assert store.claim_next("w", pool) is None and not store.has_work(pool)
        store.release(claim)
    store.cancel("tenant_A", large.id)
    assert store.has_work() and not store.has_work("large")


def test_what_a_tenant_had_of_one_pool_is_not_held_against_it_in_another(store: Store) -> None:
    store.submit(make_job("tenant_A", num_frames=4000, model=LARGE))
    for _ in range(50):
        assert next_of(store, "large") == "tenant_A"
    for tenant in ("tenant_A", "tenant_B"):
        store.submit(make_job(tenant, num_frames=4000))
    assert sorted(next_of(store, "") for _ in range(10)) == ["tenant_A"] * 5 + ["tenant_B"] * 5
    store.submit(make_job("tenant_B", num_frames=4000, model=LARGE))  # absence is not saved up, in any pool
    assert sorted(next_of(store, "large") for _ in range(10)) == ["tenant_A"] * 5 + ["tenant_B"] * 5


def test_units_at_once_are_of_all_pools_together(client: redis.Redis, settings: Settings) -> None:
    store = Store(client, settings.model_copy(update={"tenant_units_at_once": 1}))
    store.submit(make_job())
    store.submit(make_job(model=LARGE))
    claim = store.claim_next("w")
    assert claim is not None and not store.has_work("large")
    store.commit(claim, done(claim))
    assert store.has_work("large") and store.has_work()


def test_who_waits_in_one_pool_does_not_make_another_look_busy(store: Store) -> None:
    for _ in range(6):
        store.submit(make_job("tenant_A", model=LARGE))
    store.submit(make_job("tenant_A"))
    store.submit(make_job("tenant_B", model=LARGE))
    assert store.claim_next("w") and store.claim_next("w", "large")
    assert store.crowd("tenant_A") == 1
    assert store.crowd("tenant_A", "large") == 12 and store.crowd("tenant_B", "large") == 2


def test_figures_are_told_of_each_pool(client: redis.Redis, settings: Settings, store: Store) -> None:
    registry = CollectorRegistry()
    registry.register(StoreCollector(client, settings))
    for model in ("tiny-shapes", "tiny-shapes", "tiny-shapes", LARGE, LARGE):
        store.submit(make_job(model=model))
    assert store.claim_next("w") and store.claim_next("w") and store.claim_next("w", "large")
    text = generate_latest(registry).decode()
    for line in (
        'longtake_jobs_queued{pool="default"} 1.0',
        'longtake_jobs_queued{pool="large"} 1.0',
        'longtake_jobs_running{pool="default"} 2.0',
        'longtake_jobs_running{pool="large"} 1.0',
        'longtake_units_running{pool="default"} 2.0',
        'longtake_units_running{pool="large"} 1.0',
    ):
        assert line in text
    client.flushall()
    text = generate_latest(registry).decode()
    assert 'longtake_jobs_queued{pool="large"} 0.0' in text, "who scales by it must not find nothing"


def test_a_rebuilt_store_has_its_pools(client: redis.Redis, settings: Settings, store: Store) -> None:
    Tenants(client, settings).create_key()
    ledger = Ledger(client, settings, open_objects(settings))
    job, _ = store.submit(make_job(model=LARGE))
    assert (claim := store.claim_next("w", "large"))
    store.commit(claim, done(claim))
    ledger.catch_up()
    client.flushall()
    assert [outcome for outcome, _ in ledger.rebuild()] == ["tenants", "goes on"]
    assert not store.has_work() and store.pools() == ["", "large"]
    while claim := store.claim_next("w", "large"):
        store.commit(claim, done(claim))
    assert store.get("tenant_A", job.id).state is JobState.COMPLETED
