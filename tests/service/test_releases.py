"""P21: what an older release left is read by this one; what a newer one left is refused by name, and left to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient

from service import queue
from service.api.app import create_app
from service.errors import UnreadableRecord
from service.jobs import SCHEMA_VERSION, JobState, WebhookTarget
from service.ledger import Ledger
from service.objects import open_objects
from service.outbox import Outbox
from service.records import read_job
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from service.webhooks import payload
from tests.service.conftest import complete, done, make_job
from tests.support import releases
from workers.app import make_app

NEWER = SCHEMA_VERSION + 1


@pytest.fixture(params=sorted(releases.FOLDER.iterdir()), ids=lambda path: path.stem)
def left(request: pytest.FixtureRequest, client: redis.Redis) -> dict[str, Any]:
    """The store as a release left it, and what to ask of it."""
    path: Path = request.param
    told: dict[str, Any] = json.loads(path.read_text())
    releases.load(client, told["keys"])
    return told


def test_this_version_is_written_down() -> None:
    assert (releases.FOLDER / f"{SCHEMA_VERSION}.json").exists(), "python -m tests.support.releases"


def test_the_videos_of_a_release_are_answered_for_and_come_to_their_ends(
    left: dict[str, Any], settings: Settings, store: Store, client: redis.Redis
) -> None:
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {left['token']}"}) as api:
        listed = {video["id"]: video for video in api.get("/v1/videos").json()["data"]}
        assert {video: told["status"] for video, told in listed.items()} == left["videos"]
        making = next(
            video for video in listed.values() if (video["status"], video["size"]) == ("in_progress", "64x64")
        )
        assert (making["chunks"]["done"], making["prompts"][-1]["prompt"]) == (2, "a blue star staying still")
        assert "m4s" in api.get(f"/v1/videos/{making['id']}/stream.m3u8").text
        again = left["idempotency"]
        answer = api.post("/v1/videos", json=releases.ORDER, headers={"Idempotency-Key": again["key"]})
        assert (answer.status_code, answer.json()["id"]) == (202, again["video"])
    leases = dict.fromkeys((lease for lease, _ in left["keys"]["longtake:leases"]["value"]), 1)
    client.zadd("longtake:leases", leases)  # of workers that had units in work, long ago
    assert store.expire_leases() == len(leases)
    complete(store)
    tenant = read_job(left["keys"][f"longtake:job:{making['id']}"]["value"]).tenant
    ends = {video: store.get(tenant, video) for video in listed}
    assert {job.state for video, job in ends.items() if not listed[video]["completed_at"]} == {JobState.COMPLETED}
    for job in ends.values():
        if job.state is JobState.COMPLETED:
            assert sorted(done.unit for done in store.committed(job.id)) == sorted(unit.key for unit in job.plan)


def test_the_events_of_a_release_are_posted_as_they_were_written(
    left: dict[str, Any], client: redis.Redis, settings: Settings
) -> None:
    rows = Outbox(client, settings).take_due(100)
    assert {row.id for row in rows} == {name for name, _ in left["keys"]["longtake:due"]["value"]}
    for row in rows:
        told = json.loads(payload(row))
        assert (told["type"], told["data"]["id"]) == (row.type, row.job_id)


@pytest.mark.usefixtures("left")
def test_the_messages_of_a_release_wake_workers(settings: Settings) -> None:
    with make_app(settings, "workers.renderer", "workers.courier") as app, app.connection_for_read() as connection:
        app.loader.import_default_modules()
        for name in (queue.RENDER_QUEUE, queue.DELIVER_QUEUE):
            with connection.SimpleQueue(name) as messages:
                message = messages.get(timeout=2)
                arguments, *_ = message.decode()
                app.tasks[message.headers["task"]].__header__(*arguments)  # what it calls takes these
                message.ack()


@pytest.fixture
def rewrite(client: redis.Redis) -> Callable[..., None]:
    """Change the record of a job as its hash has it."""

    def change(video: str, **fields: Any) -> None:
        name = f"longtake:job:{video}"
        record = json.loads(client.hget(name, "record"))  # type: ignore[arg-type]
        client.hset(name, "record", json.dumps(record | fields))

    return change


def test_a_video_of_a_newer_release_is_refused_by_name_and_left_as_it_is(
    store: Store, rewrite: Callable[..., None], client: redis.Redis
) -> None:
    job, _ = store.submit(make_job())
    rewrite(job.id, schema_version=NEWER, style="noir")
    with pytest.raises(UnreadableRecord, match=f"version {NEWER}.* up to {SCHEMA_VERSION}.*must be upgraded"):
        store.get("tenant_A", job.id)
    with pytest.raises(UnreadableRecord):
        store.page("tenant_A")
    for _ in range(5):  # more often than a unit may be attempted
        with pytest.raises(UnreadableRecord):
            store.claim_next("old")
    assert client.hget(f"longtake:job:{job.id}", "attempts") == '{"0":0}' and store.has_work()
    rewrite(job.id, schema_version=SCHEMA_VERSION)
    client.hset(f"longtake:job:{job.id}", "record", job.model_dump_json())
    complete(store)
    assert store.get("tenant_A", job.id).state is JobState.COMPLETED


def test_a_newer_record_does_not_keep_the_videos_of_others_from_being_made(
    store: Store, rewrite: Callable[..., None]
) -> None:
    newer, _ = store.submit(make_job(tenant="tenant_new"))
    older, _ = store.submit(make_job(tenant="tenant_old"))
    rewrite(newer.id, schema_version=NEWER)
    for _ in range(2 * 4 + 1):
        try:
            if claim := store.claim_next("w"):
                store.commit(claim, done(claim))
        except UnreadableRecord:
            pass
    assert store.get("tenant_old", older.id).state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"style": "noir"}, "style: Extra inputs are not permitted"),
        ({"generation": {}}, "generation.model: Field required"),
        ({"units_total": "many"}, "units_total: Input should be a valid integer"),
        ({"schema_version": "two"}, "cannot be read: TypeError"),
    ],
)
def test_a_damaged_record_says_where(
    store: Store, rewrite: Callable[..., None], change: dict[str, Any], says: str
) -> None:
    job, _ = store.submit(make_job())
    rewrite(job.id, **change)
    with pytest.raises(UnreadableRecord, match=says):
        store.get("tenant_A", job.id)


def test_an_event_of_a_newer_release_holds_up_no_other(store: Store, client: redis.Redis, settings: Settings) -> None:
    hook = WebhookTarget(url="https://hooks.example.com", events=("video.completed",))
    jobs = [store.submit(make_job(webhook=hook))[0] for _ in range(2)]
    complete(store)
    (newer,) = (name for name in client.keys("longtake:delivery:*") if client.hget(name, "job_id") == jobs[0].id)  # type: ignore[union-attr]
    row = client.hget(newer, "job")
    client.hset(
        newer, "job", str(row).replace(f'\\"schema_version\\":{SCHEMA_VERSION}', f'\\"schema_version\\":{NEWER}')
    )
    assert client.hget(newer, "job") != row
    assert [event.job_id for event in Outbox(client, settings).take_due(10)] == [jobs[1].id]


def test_a_rebuilding_by_an_older_release_stops_by_name(
    store: Store, client: redis.Redis, settings: Settings, rewrite: Callable[..., None]
) -> None:
    ledger = Ledger(client, settings, open_objects(settings))
    Tenants(client, settings).create_key()
    job, _ = store.submit(make_job())
    rewrite(job.id, schema_version=NEWER)
    ledger.catch_up()
    client.flushall()
    with pytest.raises(UnreadableRecord, match="must be upgraded"):
        list(ledger.rebuild())
    assert not client.exists(f"longtake:job:{job.id}")
