"""What the tests of the HTTP API share: clients with a key, an order, and how a problem document looks."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import redis
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from service.tenants import Tenants

PROMPT = "a red circle moving right on a black background"


@pytest.fixture
def tenants(client: redis.Redis, settings: Settings) -> Tenants:
    return Tenants(client, settings)


@pytest.fixture
def api(settings: Settings, tenants: Tenants) -> Iterator[TestClient]:
    """A client with a key."""
    _, token = tenants.create_key()
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {token}"}) as api:
        yield api


@pytest.fixture
def stranger(settings: Settings, tenants: Tenants) -> Iterator[TestClient]:
    _, token = tenants.create_key("stranger")
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {token}"}) as api:
        yield api


def order(api: TestClient, **fields: object) -> dict:  # type: ignore[type-arg]
    answer = api.post("/v1/videos", json={"prompt": PROMPT, "num_frames": 16, "refine": False, **fields})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> str:
    """The detail of a problem document that is as it should be."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"], body["field"]) == (status, status, code, field), body
    assert body["error"]["code"] == code and body["error"]["param"] == field
    assert body["error"]["message"] == body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return str(body["detail"])
