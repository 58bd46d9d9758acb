"""Every terminal video is told to its receiver at least once, signed, under one id."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis
from standardwebhooks.webhooks import Webhook

from service.jobs import Job, WebhookTarget
from service.keys import key
from service.outbox import DeliveryState, Outbox
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from service.webhooks import DEFAULT_EVENTS, EVENTS, Deliverer
from tests.service.conftest import finish, make_job
from tests.support.receiver import Answer, Receiver
from tests.support.servers import free_port

Sender = Callable[..., Deliverer]


@pytest.fixture
def sender(client: redis.Redis, settings: Settings) -> Sender:
    """A deliverer with a short schedule, and the tenant's secret in place."""

    def make(schedule: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0), timeout_s: float = 2.0) -> Deliverer:
        changes = {
            "webhook_retry_schedule_s": schedule,
            "webhook_timeout_s": timeout_s,
            "webhook_allow_private": ("*",),
        }
        return Deliverer.open(client, settings.model_copy(update=changes))

    return make


@pytest.fixture
def tenant(client: redis.Redis, settings: Settings) -> str:
    return Tenants(client, settings).create_key()[0].tenant


def completed(store: Store, tenant: str, url: str, events: tuple[str, ...] = DEFAULT_EVENTS) -> Job:
    store.submit(make_job(tenant, num_frames=16, webhook=WebhookTarget(url=url, events=events)))
    return finish(store)


def rows(client: redis.Redis, settings: Settings, tenant: str) -> list[DeliveryState]:
    return [row.state for row in Outbox(client, settings).page(tenant)[0]]


def test_a_receiver_that_fails_twice_gets_the_third_with_a_valid_signature(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    with Receiver(Answer(500, body=b"x" * 5000), Answer(503), Answer(200)) as receiver:
        job = completed(store, tenant, receiver.url)
        deliverer = sender()
        while deliverer.deliver_due():
            pass
        assert len(receiver.received) == 3
        assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
        (secret,) = Tenants(client, settings).webhook_secrets(tenant)
        for request in receiver.received:
            event = Webhook(secret).verify(request.body, request.headers)
            assert (event["type"], event["data"]["id"]) == ("video.completed", job.id)
            assert event["data"]["status"] == "completed" and event["timestamp"].endswith("Z")
    (row,), _ = Outbox(client, settings).page(tenant)
    assert row.state == DeliveryState.DELIVERED
    assert [attempt.status for attempt in row.log] == [500, 503, 200] and len(row.log[0].reply) == 2048


def test_a_changed_byte_is_noticed(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    with Receiver() as receiver:
        completed(store, tenant, receiver.url)
        sender().deliver_due()
        (request,) = receiver.received
    (secret,) = Tenants(client, settings).webhook_secrets(tenant)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(secret).verify(request.body + b" ", request.headers)


def test_while_a_secret_is_rotated_both_verify(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    tenants = Tenants(client, settings)
    (before,) = tenants.webhook_secrets(tenant)
    after = tenants.rotate_webhook_secret(tenant)
    with Receiver() as receiver:
        completed(store, tenant, receiver.url)
        sender().deliver_due()
        (request,) = receiver.received
    assert Webhook(before).verify(request.body, request.headers)
    assert Webhook(after).verify(request.body, request.headers)


@pytest.mark.parametrize("status", [301, 302, 400, 404, 429, 500])
def test_whatever_is_no_2xx_is_tried_until_the_schedule_ends(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings, status: int
) -> None:
    with Receiver(Answer(status)) as receiver:
        completed(store, tenant, receiver.url)
        deliverer = sender(schedule=(0.0, 0.0))
        while deliverer.deliver_due():
            pass
        assert len(receiver.received) == 2
    assert rows(client, settings, tenant) == [DeliveryState.FAILED]


def test_410_ends_everything_for_that_receiver_until_it_is_asked_for_again(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    with Receiver(Answer(410), Answer(200)) as receiver:
        completed(store, tenant, receiver.url)
        completed(store, tenant, receiver.url)
        deliverer = sender()
        deliverer.deliver_due(limit=1)
        deliverer.deliver_due()
        completed(store, tenant, receiver.url)
        deliverer.deliver_due()
        assert len(receiver.received) == 1
        assert rows(client, settings, tenant) == [DeliveryState.DISABLED] * 3
        outbox = Outbox(client, settings)
        outbox.redeliver(tenant, outbox.page(tenant)[0][0].id)
        deliverer.deliver_due()
        assert len(receiver.received) == 2
    assert rows(client, settings, tenant)[0] == DeliveryState.DELIVERED


def due_in_s(client: redis.Redis) -> float:
    (entry,) = client.zrange(key("due"), 0, -1, withscores=True)
    seconds, micros = client.time()
    return entry[1] / 1000 - seconds - micros / 1e6


def test_the_schedule_is_followed_with_a_little_chance(
    store: Store, sender: Sender, tenant: str, client: redis.Redis
) -> None:
    with Receiver(Answer(500)) as receiver:
        completed(store, tenant, receiver.url)
        sender(schedule=(0.0, 100.0)).deliver_due()
    assert 89 < due_in_s(client) < 111


def test_retry_after_is_honoured(store: Store, sender: Sender, tenant: str, client: redis.Redis) -> None:
    with Receiver(Answer(429, {"retry-after": "500"})) as receiver:
        completed(store, tenant, receiver.url)
        sender(schedule=(0.0, 1.0)).deliver_due()
    assert 495 < due_in_s(client) < 501


def test_a_receiver_that_is_away_or_hangs_is_tried_again(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    with Receiver(Answer(delay_s=5)) as receiver:
        completed(store, tenant, receiver.url)
        completed(store, tenant, f"http://127.0.0.1:{free_port()}/")
        sender(schedule=(0.0, 100.0), timeout_s=0.3).deliver_due()
    assert rows(client, settings, tenant) == [DeliveryState.PENDING] * 2
    errors = {row.log[0].error for row in Outbox(client, settings).page(tenant)[0]}
    assert errors == {"No answer within 0.3 s.", "No answer: ConnectError."}


def test_a_row_is_with_one_poster_at_a_time_and_comes_back_if_that_one_dies(
    store: Store, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    completed(store, tenant, "https://receiver.example/")
    outbox = Outbox(client, settings.model_copy(update={"webhook_timeout_s": 0.1}))
    assert len(outbox.take_due(10)) == 1 and outbox.take_due(10) == []
    client.zincrby(key("due"), -16_000, client.zrange(key("due"), 0, -1)[0])  # the hold runs out
    assert len(outbox.take_due(10)) == 1


def test_only_the_events_that_were_asked_for_are_told(store: Store, sender: Sender, tenant: str) -> None:
    with Receiver() as receiver:
        completed(store, tenant, receiver.url, EVENTS)
        completed(store, tenant, receiver.url, ("video.failed",))
        deliverer = sender()
        while deliverer.deliver_due():
            pass
        kinds = sorted(json.loads(request.body)["type"] for request in receiver.received)
    assert kinds == ["video.chunk.completed", "video.completed", "video.in_progress"]


def test_a_deleted_video_is_still_told(store: Store, sender: Sender, tenant: str) -> None:
    with Receiver() as receiver:
        job = completed(store, tenant, receiver.url)
        store.delete(tenant, job.id)
        sender().deliver_due()
        assert json.loads(receiver.received[0].body)["data"]["status"] == "completed"
