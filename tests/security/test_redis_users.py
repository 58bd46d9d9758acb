"""Whoever breaks into one process has no more of the job store than that process needs.

The server is run with docker/redis.conf and docker/users.acl. It writes down whatever it refuses (ACL LOG): after
all that a role does, nothing may stand there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import AuthenticationError

from service import ids
from service.database import connect
from service.jobs import Claim, WebhookTarget
from service.keys import TEMPLATES, key
from service.ledger import Ledger
from service.limits import Limiter
from service.objects import open_objects
from service.outbox import Attempt, DeliveryState, Outbox
from service.settings import Settings
from service.store import Idempotency, Store
from service.tenants import Tenants
from service.tickets import Tickets
from tests.security.conftest import DOCKER, ROLES, GuardedHouse, GuardedValkey
from tests.service.conftest import done, make_job
from tests.support.house import until
from tests.support.receiver import Receiver

pytestmark = pytest.mark.processes

OTHER = "a blue star moving up on a navy background"


def refused(server: GuardedValkey) -> set[tuple[str, str, str]]:
    """Who asked for what in vain, as the server has it."""
    with server.witness() as witness:
        return {(entry["username"], entry["reason"], entry["object"]) for entry in witness.acl_log()}


@pytest.fixture
def server(guarded: GuardedValkey) -> GuardedValkey:
    with guarded.witness() as witness:
        witness.flushall()
        witness.acl_log_reset()
    return guarded


# What they may do


def test_a_whole_video_is_made_watched_steered_and_deleted(house: GuardedHouse) -> None:
    http = house.http
    with Receiver() as receiver:
        hook = {"url": receiver.url, "events": ["video.in_progress", "video.completed"]}
        video = house.submit(webhook=hook, metadata={"a": "b"})
        assert http.patch(f"/v1/videos/{video}", json={"prompt": OTHER}).status_code == 200
        assert http.get(f"/v1/videos/{video}/stream.m3u8").status_code == 200
        assert "video.completed" in http.get(f"/v1/videos/{video}/events").text
        assert house.ended(video)["status"] == "completed" and len(house.frames(video)) == 32
        until(lambda: len(receiver.received) >= 2, "both webhooks")
    row = http.get("/v1/webhooks/deliveries").json()["data"][0]["id"]
    assert http.post(f"/v1/webhooks/deliveries/{row}/redeliver").status_code == 202
    assert http.post("/v1/webhooks/secret/rotate").status_code == 200
    bodies = {
        f"{video}/remix": {"prompt": OTHER},
        f"{video}/branch": {"at_seconds": 2, "seed": 9},
        "extensions": {"video": {"id": video}, "prompt": OTHER, "seconds": 1},
    }
    for path, body in bodies.items():
        child = http.post(f"/v1/videos/{path}", json=body, headers={"Idempotency-Key": path})
        assert child.status_code == 202, child.text
        assert http.post(f"/v1/videos/{child.json()['id']}/cancel").status_code == 200
    assert "longtake_jobs_queued" in house.metrics("api")
    listed = [made["id"] for made in http.get("/v1/videos", params={"order": "asc"}).json()["data"]]
    assert video in listed and len(listed) >= 4
    for made in listed:
        assert http.delete(f"/v1/videos/{made}").status_code == 200
    with house.valkey.witness() as witness:
        until(lambda: witness.zcard(key("trash")) + witness.zcard(key("unfiled")) == 0, "the sweep", 20)
    assert refused(house.valkey) == set()


class Role:
    """The parts of the service as one role opens them."""

    def __init__(self, server: GuardedValkey, name: str, folder: Path):
        self.settings = Settings(
            redis_url=server.url_of(name), data_dir=folder, lease_ttl_s=0.02, video_ttl_s=0.01, bootstrap_key=None
        )
        self.client, objects = connect(self.settings), open_objects(self.settings)
        self.store = Store(self.client, self.settings)
        self.outbox = Outbox(self.client, self.settings)
        self.tenants = Tenants(self.client, self.settings)
        self.limiter = Limiter(self.client, self.settings)
        self.tickets = Tickets(self.client, self.settings)
        self.ledger = Ledger(self.client, self.settings, objects)


@pytest.fixture
def roles(server: GuardedValkey, tmp_path: Path) -> Iterator[list[Role]]:
    opened = [Role(server, name, tmp_path) for name in ROLES]
    yield opened
    for role in opened:
        role.client.close()


def claimed(worker: Role) -> Claim:
    claim = worker.store.claim_next("w")
    assert claim
    return claim


def test_what_operators_do_is_within_the_rights_of_the_api(roles: list[Role], server: GuardedValkey) -> None:
    """`longtake keys`, `longtake tenants` and `longtake rebuild`."""
    api = roles[0]
    made, token = api.tenants.create_key("acme")
    assert api.tenants.authenticate(token).id == made.id and len(api.tenants.keys()) == 1
    api.tenants.revoke(made.id)
    api.limiter.limit(made.tenant, {"units_at_once": 3})
    assert api.limiter.visit(made.tenant).wait_s == 0 and api.limiter.usage(made.tenant).live_jobs == 0
    api.store.submit(make_job(made.tenant))
    api.ledger.catch_up()
    with server.witness() as witness:
        witness.flushall()
    assert [what for what, _ in api.ledger.rebuild()] == ["tenants", "goes on"]
    assert refused(server) == set()


def test_what_goes_wrong_is_put_right_within_the_rights_of_each(roles: list[Role], server: GuardedValkey) -> None:
    api, worker, courier = roles
    tenant = api.tenants.create_key()[0].tenant
    hook = WebhookTarget(url="https://example.com/", events=("video.completed", "video.failed"))

    def order(**changes: Any) -> str:
        idempotency = Idempotency(ids.new("key"), "the same")
        job, _ = api.store.submit(make_job(tenant, 16, webhook=hook, **changes), idempotency)
        assert api.store.recall(tenant, idempotency)
        return job.id

    order()
    assert claimed(worker)  # a worker that is lost
    until(lambda: courier.store.expire_leases() == 1, "the end of the lease", 5)
    for artefacts in ({}, {"video": "x"}):
        claim = claimed(worker)
        worker.store.renew(claim, 1, 2)
        worker.store.commit(claim, done(claim, artefacts=artefacts))
    order()
    worker.store.release(claimed(worker))
    worker.store.fail(claimed(worker), "worker_lost", "It went wrong.", retryable=False)
    order(deadline_s=0.001)
    until(lambda: courier.store.expire_leases() == 1, "the deadline", 5)
    for row in (rows := courier.outbox.take_due(10)):
        assert courier.tenants.webhook_secrets(tenant) and courier.tickets.url(row.job_id, "")
        courier.outbox.record(row, Attempt(at=0, seconds=0), DeliveryState.DELIVERED)
    courier.ledger.catch_up()
    time.sleep(2 * courier.settings.lease_ttl_s)
    for place in (littered := courier.store.littered()):
        courier.store.fences(place[1])
        courier.store.tidied(*place)
    until(lambda: courier.store.expire_videos() == 0 and not api.store.page(tenant).jobs, "the end of all videos", 5)
    for place in (discarded := courier.store.discarded()):
        courier.store.erased(*place)
    courier.ledger.catch_up()
    assert len(rows) == 3 and littered and discarded
    assert refused(server) == set()


def test_the_api_may_touch_every_key_that_the_service_has_a_name_for(server: GuardedValkey) -> None:
    """A key that is new must be told in docker/users.acl."""
    with server.witness() as witness:
        for name, template in TEMPLATES.items():
            said = witness.execute_command("ACL DRYRUN", "api", "EXISTS", template.format("a", "b"))
            assert said == "OK", (name, said)


# What they may not do

NEVER = [
    "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "SELECT 1", "SHUTDOWN", "SAVE", "BGSAVE", "BGREWRITEAOF", "INFO", "DBSIZE",
    "CONFIG GET *", "CONFIG SET appendonly no", "CONFIG REWRITE", "ACL LIST", "ACL WHOAMI", "ACL LOG RESET",
    "ACL SETUSER api +@all", "DEBUG SLEEP 0", "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1",
    "KEYS *", "SCAN 0", "RANDOMKEY", "SLOWLOG GET", "LATENCY RESET", "MEMORY STATS", "MODULE LIST", "REPLICAOF a 1",
    "SYNC", "PSYNC ? -1", "FAILOVER", "CLUSTER INFO", "SCRIPT FLUSH", "SCRIPT KILL", "FUNCTION FLUSH", "FUNCTION LIST",
    "EVAL return 0", "DUMP longtake:ready", "RENAME longtake:ready longtake:share", "MOVE longtake:ready 1",
    "COPY longtake:ready longtake:share", "SORT longtake:ready", "OBJECT ENCODING longtake:ready",
    "GET another", "SET another 1", "DEL another", "HGETALL longtake", "PSUBSCRIBE *", "PUBLISH another 1",
]  # fmt: skip

#: Of one role: what another may.
ONLY_OTHERS = {
    "api": [
        "BRPOP longtake:celery:render 1", "HGETALL longtake:celery:unacked",
        "PUBLISH longtake:celery:/0.celery.pidbox shutdown", "PSUBSCRIBE longtake:celery:*",
    ],
    "worker": [
        "HGETALL longtake:tenant:tenant_A", "HGETALL longtake:tenants", "GET longtake:ticket_secret",
        "HGETALL longtake:api_key:key_A", "ZADD longtake:api_keys 0 key_A", "HSET longtake:api_key:key_A sha256 x",
        "HSET longtake:limits:tenant_A live_jobs 0", "HGETALL longtake:idempotency:tenant_A:x",
        "DEL longtake:bucket:tenant_A",
    ],
    "courier": [
        "HSET longtake:api_key:key_A sha256 x", "ZADD longtake:api_keys 0 key_A", "HSET longtake:tenants a b",
        "HSET longtake:tenant:tenant_A webhook_secret x", "DEL longtake:tenant:tenant_A",
        "HSET longtake:limits:tenant_A live_jobs 0", "HGETALL longtake:idempotency:tenant_A:x",
    ],
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_refused_what_it_has_no_use_for(server: GuardedValkey, role: str) -> None:
    with server.as_role(role) as client:
        for asked in (*NEVER, *ONLY_OTHERS[role]):
            with pytest.raises(redis.ResponseError, match="(?i)no permissions|DEBUG command not allowed"):
                client.execute_command(*asked.split())
                pytest.fail(f"{role} may {asked}")


@pytest.mark.parametrize("role", ROLES)
def test_a_script_may_no_more_than_who_runs_it(server: GuardedValkey, role: str) -> None:
    with server.as_role(role) as client:
        for asked in ("'FLUSHALL'", "'KEYS', '*'", "'RENAME', 'longtake:job:a', 'longtake:job:b'", "'GET', 'another'"):
            script = client.script_load(f"return redis.call({asked})")
            with pytest.raises(redis.ResponseError, match="ACL failure|not allowed from script"):
                client.evalsha(script, 0)


def test_who_has_no_password_is_not_answered(server: GuardedValkey) -> None:
    for who in ("", "api:@", "api:api@", "default:@", "nobody:x@"):
        settings = Settings(redis_url=f"redis://{who}127.0.0.1:{server.port}/0")
        with connect(settings) as client, pytest.raises(AuthenticationError):
            client.ping()
    passwords = {server.url_of(role).split(":")[2].split("@")[0] for role in ROLES}
    assert len(passwords) == 3 and min(map(len, passwords)) == 64
    assert not any(password in server.users.read_text() for password in passwords)
    assert {oct(path.stat().st_mode & 0o77) for path in (server.users, server.folder / "api.url")} == {"0o0"}


def test_the_users_are_of_no_use_before_they_have_passwords(tmp_path: Path) -> None:
    """A server that is started with the file as it is in the tree ends at once."""
    forgotten = GuardedValkey(tmp_path)
    shutil.copy(DOCKER / "users.acl", forgotten.users)
    ended = subprocess.run(forgotten.command, capture_output=True, timeout=20, cwd=tmp_path, env=dict(os.environ))
    assert ended.returncode != 0 and b"users.acl" in ended.stdout


def test_nothing_that_was_acknowledged_can_be_lost_or_evicted(server: GuardedValkey) -> None:
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "protected-mode": "yes",
        "enable-debug-command": "no",
        "enable-module-command": "no",
        "enable-protected-configs": "no",
    }
    with server.witness() as witness:
        assert {name: witness.config_get(name)[name] for name in wanted} == wanted
