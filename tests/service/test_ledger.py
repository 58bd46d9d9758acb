"""What is filed brings back what a store has lost: ends as they were, work where it was, keys that open."""

from __future__ import annotations

import json

import pytest
import redis

from service.errors import NotFound, StorageUnavailable, Unauthorized
from service.jobs import Ancestry, JobState, PromptAt
from service.ledger import Ledger
from service.limits import Limiter
from service.objects import Objects, open_objects
from service.objects import key as place
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.conftest import complete, done, finish, make_job


@pytest.fixture
def objects(settings: Settings) -> Objects:
    return open_objects(settings)


@pytest.fixture
def ledger(client: redis.Redis, settings: Settings, objects: Objects) -> Ledger:
    return Ledger(client, settings, objects)


@pytest.fixture
def tenants(client: redis.Redis, settings: Settings) -> Tenants:
    return Tenants(client, settings)


def lose(client: redis.Redis, ledger: Ledger) -> None:
    """All is filed, and then the store is empty."""
    ledger.catch_up()
    assert ledger.behind() == []
    client.flushall()


def outcomes(ledger: Ledger) -> dict[str, str]:
    return {job.id: outcome for outcome, job in ledger.rebuild() if job}


def test_videos_come_back_as_they_ended(store: Store, ledger: Ledger, tenants: Tenants, client: redis.Redis) -> None:
    tenants.create_key()
    finished, _ = store.submit(make_job())
    complete(store)
    cancelled, _ = store.submit(make_job(deadline_s=60.0))
    store.cancel("tenant_A", cancelled.id)
    failed, _ = store.submit(make_job())
    claim = store.claim_next("w")
    assert claim is not None
    store.fail(claim, "broken", "It broke.", retryable=False)
    before = {job.id: (store.get("tenant_A", job.id), store.committed(job.id)) for job in (finished, cancelled, failed)}
    lose(client, ledger)
    assert outcomes(ledger) == dict.fromkeys(before, "ended")
    assert {i: (store.get("tenant_A", i), store.committed(i)) for i in before} == before
    assert store.get("tenant_A", finished.id).artefacts["video"]
    assert [job.id for job in store.page("tenant_A").jobs] == sorted(before, reverse=True)
    assert not store.has_work() and store.claim_next("w") is None


def test_a_video_in_the_making_goes_on_with_what_was_filed(
    store: Store, ledger: Ledger, tenants: Tenants, client: redis.Redis
) -> None:
    tenants.create_key()
    job, _ = store.submit(make_job(num_frames=40))
    claim = store.claim_next("w")
    assert claim is not None
    seen = store.commit(claim, done(claim))
    steered = store.steer("tenant_A", seen, (PromptAt(at_seconds=3, prompt="a blue star"),))
    assert steered is not None
    held = store.claim_next("lost")
    assert held is not None
    lose(client, ledger)
    assert outcomes(ledger) == {job.id: "goes on"}
    again = store.get("tenant_A", job.id)
    assert (again.state, again.units_done, again.ready, again.working) == (JobState.QUEUED, 1, None, {})
    assert again.generation.prompts == steered.generation.prompts
    assert again.fence > held.fence + 1000  # what the lost worker still stores has a name of its own
    assert finish(store).state == JobState.COMPLETED
    assert [unit.position for unit in store.committed(job.id)] == list(range(job.units_total))


def test_what_a_video_shares_with_a_deleted_one_is_still_its(
    store: Store, ledger: Ledger, tenants: Tenants, client: redis.Redis
) -> None:
    tenants.create_key()
    parent, _ = store.submit(make_job())
    finish(store)
    shared = store.committed(parent.id)[:2]
    child = make_job(num_frames=40, ancestry=Ancestry(kind="extension", video=parent.id, at_frame=24, chunks=2))
    store.submit(child.model_copy(update={"units_total": len(child.work())}), shared=shared)
    store.delete("tenant_A", parent.id)
    lose(client, ledger)
    assert outcomes(ledger) == {child.id: "goes on"}
    assert store.committed(child.id) == shared
    finish(store)
    store.delete("tenant_A", child.id)
    assert store.discarded() == [("tenant_A", child.id)]
    store.erased("tenant_A", child.id)
    assert store.discarded() == [("tenant_A", parent.id)]  # nobody plays its frames any more


def test_keys_open_again_and_limits_hold(
    store: Store, ledger: Ledger, tenants: Tenants, client: redis.Redis, settings: Settings, objects: Objects
) -> None:
    limiter = Limiter(client, settings)
    own, token = tenants.create_key("studio", "first")
    revoked, gone = tenants.create_key("studio", "second")
    tenants.revoke(revoked.id)
    limiter.limit(own.tenant, {"units_at_once": 2})
    secret = tenants.webhook_secrets(own.tenant)
    lose(client, ledger)
    filed = objects.get(place("house", "tenants", "tenants.json")).decode()
    assert token not in filed and secret[0] not in filed
    other, _ = tenants.create_key("studio")  # somebody was quicker than the rebuilding
    list(ledger.rebuild())
    assert tenants.authenticate(token).tenant == own.tenant == tenants.named("studio") != other.tenant
    with pytest.raises(Unauthorized):
        tenants.authenticate(gone)
    assert limiter.own(own.tenant) == {"units_at_once": 2}
    assert tenants.webhook_secrets(own.tenant) != secret


def test_what_the_store_has_is_left(store: Store, ledger: Ledger, tenants: Tenants) -> None:
    tenants.create_key()
    job, _ = store.submit(make_job())
    ledger.catch_up()
    claim = store.claim_next("w")
    assert claim is not None
    assert outcomes(ledger) == {job.id: "there"}
    assert store.commit(claim, done(claim)).units_done == 1


def test_what_changes_while_it_is_filed_is_filed_again(store: Store, ledger: Ledger, objects: Objects) -> None:
    job, _ = store.submit(make_job())
    entry = f"tenant_A/{job.id}"
    real = objects.put

    def put(*told: object) -> None:
        real(*told)  # type: ignore[arg-type]
        store.cancel("tenant_A", job.id)

    objects.put = put  # type: ignore[method-assign]
    ledger.file(entry)
    objects.put = real  # type: ignore[method-assign]
    assert entry in ledger.behind()
    ledger.catch_up()
    assert json.loads(objects.get(place("tenant_A", job.id, "job.json")))["job"]["state"] == "cancelled"


def test_storage_that_is_away_leaves_it_for_later(store: Store, ledger: Ledger, objects: Objects) -> None:
    job, _ = store.submit(make_job())

    def away(*told: object) -> None:
        raise StorageUnavailable("Away.")

    real, objects.put = objects.put, away  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        ledger.catch_up()
    objects.put = real  # type: ignore[method-assign]
    assert ledger.behind() == [f"tenant_A/{job.id}"]


def test_a_storage_of_nothing_is_said_to_be_none(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="is it the one of that service"):
        list(ledger.rebuild())


def test_the_record_of_a_deleted_video_goes(store: Store, ledger: Ledger, objects: Objects) -> None:
    job, _ = store.submit(make_job())
    ledger.catch_up()
    assert objects.exists(place("tenant_A", job.id, "job.json"))
    store.delete("tenant_A", job.id)
    ledger.catch_up()
    assert not objects.exists(place("tenant_A", job.id, "job.json")) and ledger.behind() == []


def test_a_video_that_is_deleted_while_it_is_filed_leaves_no_record(
    store: Store, ledger: Ledger, objects: Objects
) -> None:
    job, _ = store.submit(make_job())
    real = objects.put

    def put(*told: object) -> None:
        store.delete("tenant_A", job.id)
        objects.delete_prefix(f"tenant_A/{job.id}/")
        store.erased("tenant_A", job.id)
        real(*told)  # type: ignore[arg-type]

    objects.put = put  # type: ignore[method-assign]
    ledger.file(f"tenant_A/{job.id}")
    assert objects.list("tenant_A/") == [] and ledger.behind() == []


def test_any_number_is_filed_in_one_go(store: Store, ledger: Ledger, objects: Objects) -> None:
    ids = {store.submit(make_job())[0].id for _ in range(230)}
    ledger.catch_up()
    assert ledger.behind() == [] and {name.split("/")[1] for name in objects.list("tenant_A/")} == ids
