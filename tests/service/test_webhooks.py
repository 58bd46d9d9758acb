"""Every terminal video is told to its receiver at least once, signed, under one id."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import redis
from standardwebhooks.webhooks import Webhook

from service.jobs import Job, WebhookTarget
from service.keys import key
from service.outbox import DeliveryState, Outbox
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from service.webhooks import DEFAULT_EVENTS, EVENTS, JITTER, LONGEST_WAIT_S, Deliverer
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


def test_rows_of_one_moment_do_not_come_back_in_one_moment(
    store: Store, sender: Sender, tenant: str, client: redis.Redis
) -> None:
    """Whoever fails under many posts at once is not to get them all at once again."""
    with Receiver(Answer(500)) as receiver:
        for _ in range(12):
            completed(store, tenant, receiver.url)
        sender(schedule=(0.0, 1000.0)).deliver_due()
    due = sorted(score / 1000 for _, score in client.zrange(key("due"), 0, -1, withscores=True))
    assert len(due) == 12 and due[-1] - due[0] > 20, "a tenth of the wait, to both sides"
    assert due[-1] - due[0] < 1000 * (2 * JITTER) + 15


def in_http(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("wait", ["500", "a date"])
def test_retry_after_is_honoured(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, status: int, wait: str
) -> None:
    with Receiver(Answer(status, {"retry-after": in_http(500) if wait == "a date" else wait})) as receiver:
        completed(store, tenant, receiver.url)
        sender(schedule=(0.0, 1.0)).deliver_due()
    assert 490 < due_in_s(client) < 501


@pytest.mark.parametrize("wait", ["0", "1", "-5", "soon", "1e3", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 40])
def test_a_wait_that_is_shorter_than_the_schedule_or_no_wait_at_all_changes_nothing(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, wait: str
) -> None:
    with Receiver(Answer(503, {"retry-after": wait})) as receiver:
        completed(store, tenant, receiver.url)
        sender(schedule=(0.0, 100.0)).deliver_due()
    assert 89 < due_in_s(client) < 111


def test_nobody_can_ask_for_more_than_a_day(store: Store, sender: Sender, tenant: str, client: redis.Redis) -> None:
    with Receiver(Answer(429, {"retry-after": "999999999"})) as receiver:
        completed(store, tenant, receiver.url)
        sender(schedule=(0.0, 1.0)).deliver_due()
    assert due_in_s(client) <= LONGEST_WAIT_S


def test_after_the_day_of_a_rotation_the_old_secret_signs_no_more(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    tenants = Tenants(client, settings)
    (before,) = tenants.webhook_secrets(tenant)
    after = tenants.rotate_webhook_secret(tenant)
    client.hset(key("tenant", tenant), "before_until", 1)
    with Receiver() as receiver:
        completed(store, tenant, receiver.url)
        sender().deliver_due()
        (request,) = receiver.received
    assert Webhook(after).verify(request.body, request.headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(before).verify(request.body, request.headers)


def test_what_is_posted_again_has_the_same_id_and_body_and_a_longer_log(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    outbox = Outbox(client, settings)
    with Receiver() as receiver:
        completed(store, tenant, receiver.url)
        deliverer = sender()
        deliverer.deliver_due()
        ((row,), _) = outbox.page(tenant)
        outbox.redeliver(tenant, row.id)
        assert outbox.page(tenant)[0][0].state == DeliveryState.PENDING
        deliverer.deliver_due()
        first, again = receiver.received
    assert first.headers["webhook-id"] == again.headers["webhook-id"] == row.id and first.body == again.body
    ((row,), _) = outbox.page(tenant)
    assert row.state == DeliveryState.DELIVERED and [attempt.status for attempt in row.log] == [200, 200]


def test_rows_that_have_expired_end_no_page(store: Store, tenant: str, client: redis.Redis, settings: Settings) -> None:
    outbox = Outbox(client, settings)
    for _ in range(5):
        completed(store, tenant, "http://127.0.0.1:9/hook")
    ids = [row.id for row in outbox.page(tenant)[0]]
    client.delete(*(key("delivery", row_id) for row_id in ids[1:4]))
    (first,), has_more = outbox.page(tenant, limit=1)
    assert (first.id, has_more) == (ids[0], True)
    (last,), has_more = outbox.page(tenant, after=first.id, limit=1)
    assert (last.id, has_more) == (ids[4], False)
    assert outbox.page(tenant, after=last.id, limit=1) == ([], False)


def test_a_settled_row_is_kept_for_30_days_however_it_was_settled(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    with Receiver(Answer(200), Answer(410)) as receiver:
        completed(store, tenant, receiver.url)
        deliverer = sender()
        deliverer.deliver_due()
        completed(store, tenant, receiver.url)
        deliverer.deliver_due()  # now it is disabled
        completed(store, tenant, receiver.url)
    found, _ = Outbox(client, settings).page(tenant)
    assert [row.state for row in found] == [DeliveryState.DISABLED, DeliveryState.DISABLED, DeliveryState.DELIVERED]
    assert all(30 * 86_400 - 60 < client.ttl(key("delivery", row.id)) <= 30 * 86_400 for row in found)


def test_410_of_one_receiver_is_nothing_to_another_nor_to_another_tenant(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    other = Tenants(client, settings).create_key("other")[0].tenant
    with Receiver(Answer(410), Answer(200)) as gone, Receiver() as here:
        completed(store, tenant, gone.url)
        deliverer = sender()
        deliverer.deliver_due()
        completed(store, tenant, here.url)
        completed(store, other, gone.url)
        deliverer.deliver_due()
        assert len(here.received) == 1 and len(gone.received) == 2
    assert rows(client, settings, other) == [DeliveryState.DELIVERED]


def test_a_receiver_that_is_away_or_hangs_is_tried_again(
    store: Store, sender: Sender, tenant: str, client: redis.Redis, settings: Settings
) -> None:
    with Receiver(Answer(delay_s=20)) as receiver:
        completed(store, tenant, receiver.url)
        completed(store, tenant, f"http://127.0.0.1:{free_port()}/")
        sender(schedule=(0.0, 100.0), timeout_s=2.0).deliver_due()
    assert rows(client, settings, tenant) == [DeliveryState.PENDING] * 2
    errors = {row.log[0].error for row in Outbox(client, settings).page(tenant)[0]}
    assert errors == {"No answer within 2 s.", "No answer: ConnectError."}


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
