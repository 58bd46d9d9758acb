"""API keys open the door of their tenant, and nothing that is kept of them does."""

from __future__ import annotations

import time

import pytest
import redis

from service.errors import NotFound, Unauthorized
from service.keys import key
from service.scopes import ALL, Scope
from service.settings import Settings
from service.tenants import Tenants


@pytest.fixture
def tenants(client: redis.Redis, settings: Settings) -> Tenants:
    return Tenants(client, settings)


def test_a_key_opens_the_door_of_its_tenant_until_it_is_revoked(tenants: Tenants) -> None:
    made, token = tenants.create_key("acme", "ci")
    other, other_token = tenants.create_key("other")
    assert tenants.authenticate(token) == made and tenants.authenticate(other_token) == other
    assert made.tenant != other.tenant
    assert tenants.create_key("acme")[0].tenant == made.tenant
    tenants.revoke(made.id)
    with pytest.raises(Unauthorized):
        tenants.authenticate(token)
    assert tenants.key(made.id).revoked_at and len(tenants.keys()) == 3


def test_a_wrong_secret_an_unknown_id_and_nonsense_are_refused_alike(tenants: Tenants) -> None:
    _, token = tenants.create_key()
    for wrong in (
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        "ltk_" + "0" * 26 + token[30:],
        "",
        "x",
        "é" * 50,
    ):
        with pytest.raises(Unauthorized, match="not known or was revoked"):
            tenants.authenticate(wrong)


@pytest.mark.parametrize("token", ["ltk_" + "0" * 26 + "_" + "s" * 43, "a key of any form"])
def test_a_preset_key_works_from_the_start_and_can_be_revoked(
    client: redis.Redis, settings: Settings, token: str
) -> None:
    preset = Settings(redis_url=settings.redis_url, bootstrap_key=token)  # type: ignore[arg-type]
    tenants = Tenants(client, preset)
    assert tenants.authenticate(token).tenant == tenants.authenticate(token).tenant
    (made,) = tenants.keys()
    tenants.revoke(made.id)
    with pytest.raises(Unauthorized):
        tenants.authenticate(token)


def test_a_key_that_expires_opens_the_door_until_then(tenants: Tenants) -> None:
    made, token = tenants.create_key(lasts_s=0.2)
    assert tenants.authenticate(token).id == made.id
    time.sleep(0.21)
    with pytest.raises(Unauthorized, match="expired"):
        tenants.authenticate(token)
    with pytest.raises(Unauthorized, match="not known"):  # of a wrong secret nothing is told, not even that
        tenants.authenticate(token[:-2] + "AA")


def test_the_last_use_is_written_once_a_minute_at_most(tenants: Tenants, client: redis.Redis) -> None:
    made, token = tenants.create_key()
    assert tenants.key(made.id).last_used_at is None

    def writes() -> int:
        return int(client.info("commandstats").get("cmdstat_hset", {}).get("calls", 0))

    before = writes()
    for _ in range(20):
        tenants.authenticate(token)
    assert writes() == before + 1
    used = tenants.key(made.id).last_used_at
    assert used and abs(used - time.time()) < 5
    client.hset(key("api_key", made.id), "last_used_at", int((used - 61) * 1000))
    tenants.authenticate(token)
    assert (tenants.key(made.id).last_used_at or 0) >= used


def test_a_refused_key_is_not_told_to_be_used(tenants: Tenants) -> None:
    made, token = tenants.create_key()
    for wrong in (token[:-2] + "AA", token[:-2] + "BB"):
        with pytest.raises(Unauthorized):
            tenants.authenticate(wrong)
    assert tenants.key(made.id).last_used_at is None


def test_a_key_has_the_scopes_it_was_made_with_and_one_from_before_there_were_any_has_all(
    tenants: Tenants, client: redis.Redis
) -> None:
    made, token = tenants.create_key(scopes=frozenset({Scope.WEBHOOKS, Scope.VIDEOS_READ}))
    assert tenants.authenticate(token).scopes == {Scope.VIDEOS_READ, Scope.WEBHOOKS}
    assert client.hget(key("api_key", made.id), "scopes") == "videos:read webhooks"
    client.hdel(key("api_key", made.id), "scopes")
    assert tenants.authenticate(token).scopes == ALL


def test_revoking_what_is_not_there_is_told(tenants: Tenants) -> None:
    with pytest.raises(NotFound):
        tenants.revoke("key_" + "0" * 26)


def test_a_rotated_webhook_secret_signs_beside_the_new_one(tenants: Tenants) -> None:
    made, _ = tenants.create_key()
    (before,) = tenants.webhook_secrets(made.tenant)
    after = tenants.rotate_webhook_secret(made.tenant)
    assert before.startswith("whsec_") and tenants.webhook_secrets(made.tenant) == [after, before]
