"""Tenants, their API keys and their webhook secrets. Knows nothing of jobs or HTTP.

A key is `ltk_<id>_<secret>`. It is shown once, when it is made; the store has its id and its SHA-256,
enough because the secret is 32 random bytes and no password. A webhook secret must be readable, since it
signs: each tenant has one from the start, `GET /v1/webhooks/secret` shows it to the tenant's own keys, and
after a rotation the old one signs beside the new one for a day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

import redis

from service import ids
from service.database import Database, as_mapping
from service.errors import NotFound, Unauthorized
from service.keys import key
from service.scopes import ALL, Scope, read_scopes, write_scopes
from service.settings import Settings

DEFAULT_TENANT = "default"
ROTATION_OVERLAP_S = 86_400
LAST_USED_EVERY_MS = 60_000  # so that a busy key costs one write a minute
_TOKEN = re.compile(r"ltk_([0-9A-HJKMNP-TV-Z]{26})_[A-Za-z0-9_-]{43}")
_TIMES = ("created_at", "expires_at", "last_used_at", "revoked_at")
_NOBODY = "-" * 64  # compared with for an unknown key, so that it takes as long; no digest equals it


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    id: str
    tenant: str
    name: str
    scopes: frozenset[Scope]
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None  # to the minute
    revoked_at: float | None = None

    def opens_at(self, now: float) -> bool:
        """Whether it opens the door at that time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Tenants:
    def __init__(self, client: redis.Redis, settings: Settings):
        self._db, self._bootstrap = Database(client), settings.bootstrap_key

    def create_key(
        self,
        tenant_name: str = DEFAULT_TENANT,
        name: str = "",
        *,
        scopes: frozenset[Scope] = ALL,
        lasts_s: float | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key of the tenant of that name, which is made if need be; the second value is shown once."""
        public = ids.ulid()
        token = f"ltk_{public}_{secrets.token_urlsafe(32)}"
        self._add(token, tenant_name, name, scopes, lasts_s)
        return self.key(f"key_{public}"), token

    def adopt(self, token: str) -> None:
        """Make a key that was chosen elsewhere, if it was never there before."""
        self._add(token, DEFAULT_TENANT, "bootstrap")

    def authenticate(self, token: str) -> ApiKey:
        """The key that this is, while it opens the door. Raises `Unauthorized`."""
        if self._bootstrap and hmac.compare_digest(token.encode(), self._bootstrap.get_secret_value().encode()):
            self.adopt(token)
        flat, now_ms = self._db.run("look_up_key", _public_id(token))
        row = as_mapping(flat)
        right = hmac.compare_digest(_digest(token), row.get("sha256", _NOBODY))
        if not right or "revoked_at" in row:
            raise Unauthorized("This API key is not known or was revoked.")
        found, now = _read_key(row), int(now_ms) / 1000
        if not found.opens_at(now):
            raise Unauthorized("This API key has expired.")
        if int(now_ms) - int(row.get("last_used_at", 0)) >= LAST_USED_EVERY_MS:
            self._db.command("HSET", key("api_key", found.id), "last_used_at", now_ms)
        return found

    def key(self, key_id: str) -> ApiKey:
        row = self._db.command("HGETALL", key("api_key", key_id))
        if not row:
            raise NotFound(f"There is no key '{key_id}'.")
        return _read_key(row)

    def keys(self, limit: int = 1000) -> list[ApiKey]:
        """Every key, the newest first."""
        rows = self._db.run("list", key("api_keys"), "api_key", "", limit, "desc")
        return [_read_key(as_mapping(row)) for _, row in rows]

    def revoke(self, key_id: str) -> None:
        if not self._db.run("revoke_key", key_id):
            raise NotFound(f"There is no key '{key_id}'.")

    def names(self) -> dict[str, str]:
        """The id of every tenant, by its name."""
        rows: dict[str, str] = self._db.command("HGETALL", key("tenants"))
        return rows

    def named(self, name: str) -> str:
        """The id of the tenant of that name."""
        tenant = self._db.command("HGET", key("tenants"), name)
        if tenant is None:
            raise NotFound(f"There is no tenant '{name}'; its first key makes it.")
        return str(tenant)

    def webhook_secrets(self, tenant: str) -> list[str]:
        """The secrets that sign the tenant's webhooks now, the newest first."""
        found: list[str] = self._db.run("secrets", tenant)
        return found

    def rotate_webhook_secret(self, tenant: str) -> str:
        return str(self._db.run("rotate_secret", tenant, new_webhook_secret(), ROTATION_OVERLAP_S * 1000))

    def _add(
        self, token: str, tenant_name: str, name: str, scopes: frozenset[Scope] = ALL, lasts_s: float | None = None
    ) -> None:
        tenant = self._db.run("make_tenant", tenant_name, ids.new("tenant"), new_webhook_secret())
        lasts_ms = "" if lasts_s is None else int(lasts_s * 1000)
        self._db.run("add_key", _public_id(token), tenant, name, _digest(token), write_scopes(scopes), lasts_ms)


def _public_id(token: str) -> str:
    """The id in the key; for a key that was chosen elsewhere, one made from its digest."""
    match = _TOKEN.fullmatch(token)
    return f"key_{match[1]}" if match else f"key_{_digest(token)[:26].upper()}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def new_webhook_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _read_key(row: dict[str, str]) -> ApiKey:
    times = {name: int(row[name]) / 1000 for name in _TIMES if name in row}
    scopes = read_scopes(row["scopes"]) if "scopes" in row else ALL  # a key from before there were scopes
    return ApiKey(id=row["id"], tenant=row["tenant"], name=row["name"], scopes=scopes, **times)
