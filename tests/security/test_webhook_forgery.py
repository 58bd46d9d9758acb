"""Forged and replayed webhooks: a receiver with any library of the standard tells them from ours.

What is posted is judged by an implementation that is not ours.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.jobs import WebhookTarget
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants, new_webhook_secret
from service.webhooks import Deliverer, headers
from tests.service.conftest import finish, make_job
from tests.support.receiver import Answer, Received, Receiver


@pytest.fixture
def posted(client: redis.Redis, settings: Settings, store: Store) -> tuple[str, Received, Received]:
    """The secret, and what came at the first attempt and at the second."""
    tenant = Tenants(client, settings).create_key()[0].tenant
    schedule = {"webhook_retry_schedule_s": (0.0, 1.2), "webhook_allow_private": ("*",)}
    with Receiver(Answer(500), Answer(200)) as receiver:
        target = WebhookTarget(url=receiver.url, events=("video.completed",))
        store.submit(make_job(tenant, num_frames=16, webhook=target))
        finish(store)
        deliverer = Deliverer.open(client, settings.model_copy(update=schedule))
        while len(receiver.received) < 2:
            deliverer.deliver_due()
        first, second = receiver.received
    return Tenants(client, settings).webhook_secrets(tenant)[0], first, second


def test_what_we_post_is_accepted_and_a_copy_for_another_receiver_is_not(
    posted: tuple[str, Received, Received],
) -> None:
    secret, first, second = posted
    for request in (first, second):
        assert Webhook(secret).verify(request.body, request.headers)["type"] == "video.completed"
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    with pytest.raises(WebhookVerificationError):
        Webhook(new_webhook_secret()).verify(first.body, first.headers)


SECRET = new_webhook_secret()
BODY = b'{"type":"video.completed","data":{"id":"video_A","prompt":"\xc3\xa9"}}'


def signed(minutes: int = 0) -> dict[str, str]:
    """The headers of an event that is sent so many minutes from now."""
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    return headers([SECRET], "evt_A", int(at.timestamp()), BODY)


@given(
    st.sampled_from(["body", "webhook-id", "webhook-timestamp", "webhook-signature"]),
    st.integers(0),
    st.integers(1, 255),
)
@settings(max_examples=150, deadline=None)
def test_one_flipped_byte_is_noticed(where: str, at: int, mask: int) -> None:
    ours = signed()
    assert Webhook(SECRET).verify(BODY, ours)
    sent = bytearray(BODY if where == "body" else ours[where].encode())
    sent[at % len(sent)] ^= mask
    body = bytes(sent) if where == "body" else BODY
    told = ours if where == "body" else ours | {where: sent.decode("latin-1")}
    try:
        accepted = Webhook(SECRET).verify(body, told)
    except (WebhookVerificationError, ValueError, UnicodeError):
        return
    assert where == "webhook-signature" and digest(told) == digest(ours), accepted


def digest(told: dict[str, str]) -> bytes:
    """The last letter of base64 has bits that say nothing."""
    return base64.b64decode(told["webhook-signature"].partition(",")[2])


@pytest.mark.parametrize("minutes", [-6, 6])
def test_what_was_posted_once_cannot_be_posted_again_later(minutes: int) -> None:
    """The time is signed too, so a receiver refuses what is older than five minutes; and no time can be made up."""
    other = signed(minutes)
    with pytest.raises(WebhookVerificationError, match="too"):
        Webhook(SECRET).verify(BODY, other)
    with pytest.raises(WebhookVerificationError, match="signature"):
        Webhook(SECRET).verify(BODY, other | {"webhook-timestamp": signed()["webhook-timestamp"]})


def test_a_secret_is_of_the_length_that_the_standard_wants() -> None:
    made = {new_webhook_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 64 for secret in made)
    assert not any(secrets.compare_digest(secret, SECRET) for secret in made)
