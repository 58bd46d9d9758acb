"""Host header and path confusion: no word of a client's Host is believed, and no spelling of a path opens a door.

What a call needs hangs at its route, so there is no second reading of the path that could differ from the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.app import create_app
from service.api.middleware import PROBES
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import PROMPT, order
from tests.service.conftest import finish
from tests.support.calls import Names, described

FORGED = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}

#: What servers and proxies have read differently.
SPELLINGS = [
    "//v1/videos", "/v1//videos", "/v1/videos/", "/v1/videos//", "/V1/videos", "/v1/Videos", "/v1/videos;x=1",
    "/v1/videos%2f", "/v1%2fvideos", "/%2fv1/videos", "/v1/./videos", "/v1/../v1/videos", "/healthz/../v1/videos",
    "/healthz/..%2fv1/videos", "/studio/..%2f..%2fv1/videos", "/studio/../v1/videos", "/metrics%2f..%2fv1/videos",
    "/v1/videos%00", "/v1/videos%20", "/v1/videos\\", "\\v1\\videos", "/v1/videos.json", "/v1/videos%3flimit=1",
    "http://evil.example/v1/videos", "//evil.example/v1/videos", "/v1/videos#x", "/v1/v%69deos%2e",
]  # fmt: skip
PIECES = ["/", "//", "%2f", "..", ".", "v1", "V1", "videos", "healthz", "studio", "docs", "\\", ";", "\0", "metrics"]
OPEN = {*PROBES, "/", "/docs", "/openapi.json"}
OVERRIDES = {"X-Original-URL": "/healthz", "X-Rewrite-URL": "/healthz", "X-HTTP-Method-Override": "GET"}


def ask(
    app: Any, path: str, method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None
) -> tuple[int, bytes]:
    """Status and body of a request with exactly that path, as a server hands it on."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode("utf-8", "replace"), "query_string": b"", "headers": [], "scheme": "http",
        "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_no_spelling_of_a_path_needs_no_key(api: TestClient) -> None:
    order(api)
    nobody = TestClient(api.app)
    for spelling in SPELLINGS:
        for answer in (nobody.get(spelling), nobody.get(spelling, headers=OVERRIDES)):
            assert answer.status_code in (401, 404), (spelling, answer.status_code)
    for name in OVERRIDES:
        assert nobody.get("/v1/videos", headers={name: "/healthz"}).status_code == 401


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """An API whose store is away: what it answers all the same, it answers to anybody."""
    away = Settings(redis_url="redis://127.0.0.1:1/0", redis_timeout_s=0.1, data_dir=tmp_path_factory.mktemp("data"))
    return create_app(away)


@given(st.lists(st.sampled_from(PIECES), max_size=8))
@settings(max_examples=100, deadline=None)
def test_what_is_open_to_anybody_is_a_list(app: FastAPI, parts: list[str]) -> None:
    """Of all that can be put together of such pieces nothing but what needs no key is answered."""
    path = "/" + "".join(parts)
    status, body = ask(app, path)
    assert status in (401, 404) or path in OPEN, (path, status)
    assert b"Traceback" not in body


def test_links_are_made_of_the_public_url_and_never_of_the_host_that_was_sent(
    settings: Settings, tenants: Tenants, store: Store
) -> None:
    _, token = tenants.create_key()
    ours = Settings(**settings.model_dump() | {"public_url": "https://video.example/api/"})
    with TestClient(create_app(ours), headers={"Authorization": f"Bearer {token}", **FORGED}) as api:
        video = order(api)
        finish(store)
        queued = api.post("/v1/videos", json={"prompt": PROMPT})
        assert queued.headers["location"] == f"https://video.example/api/v1/videos/{queued.json()['id']}"
        assert queued.json()["stream_url"].startswith("https://video.example/api/v1/videos/")
        names = Names(video_id=video["id"], delivery_id="evt_x", model_id="tiny-shapes")
        for method, path in [*described(api), ("GET", "/"), ("GET", "/openapi.json"), ("GET", "/v1/videos/")]:
            if method == "DELETE":
                continue
            answer = api.request(method, path.format_map(names), json={}, follow_redirects=False)
            assert "evil.example" not in answer.text + str(answer.headers), (method, path)


def test_a_path_with_a_slash_too_many_is_no_redirect_to_wherever_the_client_says(api: TestClient) -> None:
    answer = api.get("/v1/videos/", headers=FORGED, follow_redirects=False)
    assert answer.status_code == 404 and "location" not in answer.headers


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "a/b", "a?b", "a#b", "@", ":", ":x", "évil", "", "a" * 3000])
def test_no_host_is_a_fault_of_ours(api: TestClient, host: str) -> None:
    answer = api.post("/v1/videos", json={"prompt": PROMPT}, headers={b"host": host.encode()})  # type: ignore[dict-item]
    assert answer.status_code in (202, 400), answer.text
