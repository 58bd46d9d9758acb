"""Denial of service by size: what is too large, too deep or too many is refused before it costs anything.

A body is cut before it is parsed, whether it says its length or not; what a job may take, the catalogue says.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import MutableMapping
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import PROMPT, problem

LIMIT = 100_000
STARTS = {
    "application/json": b'{"prompt": "',
    "multipart/form-data; boundary=b": b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n',
}


@pytest.fixture
def small(settings: Settings) -> Settings:
    """A service that takes bodies of 100 kB, with a picture or without."""
    return settings.model_copy(update={"body_limit_bytes": LIMIT, "image_limit_bytes": LIMIT})


@pytest.fixture
def token(tenants: Tenants) -> str:
    return tenants.create_key()[1]


@pytest.mark.parametrize("kind", STARTS)
def test_a_body_that_says_its_length_is_refused_by_that(small: Settings, token: str, kind: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "content-type": kind}
    with TestClient(create_app(small), headers=headers) as api:
        problem(api.post("/v1/videos", content=STARTS[kind] + b"x" * LIMIT), 413, "body_too_large")


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("path", ["/v1/videos", "/v1/videos/extensions"])
def test_of_a_body_that_does_not_say_its_length_no_more_than_the_limit_is_read(
    small: Settings, token: str, kind: str, path: str
) -> None:
    """Gigabytes in pieces: the app does not ask for more than it would take."""
    start, piece = STARTS[kind], b"x" * 9_999
    asked, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": piece if asked > 1 else start, "more_body": asked < 1_000_000}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", kind.encode()), (b"authorization", f"Bearer {token}".encode())],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
    }
    asyncio.run(create_app(small)(scope, receive, send))
    assert sent[0]["status"] == 413 and b'"body_too_large"' in sent[1]["body"]
    assert asked * len(piece) <= LIMIT + 3 * len(piece)


def test_a_body_at_the_limit_is_read_and_one_above_it_is_not(small: Settings, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "content-type": "application/json"}
    start = json.dumps({"prompt": PROMPT, "num_frames": 1}).encode()
    with TestClient(create_app(small), headers=headers) as api:
        assert api.post("/v1/videos", content=start.ljust(LIMIT)).status_code == 202
        problem(api.post("/v1/videos", content=start.ljust(LIMIT + 1)), 413, "body_too_large")


@pytest.mark.parametrize("said", ["-1", "1e9", "0x10", "9" * 5000, "\u0663", " ", "1, 1"])
def test_a_length_that_is_none_is_refused(small: Settings, token: str, said: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "content-type": "application/json"}
    with TestClient(create_app(small), headers=headers) as api:
        answer = api.post("/v1/videos", content=b"{}", headers={"content-length": said.encode()})  # type: ignore[dict-item]
        assert answer.status_code == 413


def nested(depth: int, opens: str, closes: str) -> str:
    return opens * depth + closes * depth


@pytest.mark.parametrize("depth", [100, 940, 980, 1000, 1500, 50_000])
def test_what_is_nested_deeply_is_refused_in_words(api: TestClient, store: Store, depth: int) -> None:
    for deep in (nested(depth, "[", "]"), nested(depth, '{"a":[', "]}"), "[" * depth):
        as_json = f'{{"prompt": "{PROMPT}", "metadata": {deep}}}'
        headers = {"content-type": "application/json"}
        answers = [api.post("/v1/videos", content=as_json, headers=headers)]
        answers += [api.post("/v1/videos", files={"prompt": (None, PROMPT), name: (None, deep)}) for name in NESTED]
        for answer in answers:
            assert answer.status_code in (400, 422), answer.text[:300]
    assert not store.has_work()


NESTED = ("prompts", "refine", "metadata", "webhook")


def test_a_body_of_very_many_values_is_not_parsed(api: TestClient) -> None:
    crowd = b'{"prompt": [' + b"[]," * 2_000_000 + b"[]]}"
    start = time.monotonic()
    answer = api.post("/v1/videos", content=crowd, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    answer = api.post("/v1/videos", files={"prompt": (None, PROMPT), "prompts": (None, b"[" + b"{}," * 2_000_000)})
    assert answer.status_code == 413 and time.monotonic() - start < 5


def test_a_form_of_very_many_parts_is_not_read(api: TestClient) -> None:
    fields = [("prompt", (None, PROMPT))] + [(f"metadata[{n}]", (None, "x")) for n in range(300)]
    assert api.post("/v1/videos", files=fields).status_code == 400
    files = [("input_reference", ("a.png", b"x"))] * 2
    assert api.post("/v1/videos", files=[("prompt", (None, PROMPT)), *files]).status_code == 400


HUGE = ["9" * 4000, "-" + "9" * 4000, "9" * 5000, "1e400", "-1e400", "1" * 400 + ".5", "NaN", "Infinity"]
NUMBERS = (
    "num_frames", "seconds", "seed", "steps", "guidance_scale", "anchor_guidance_scale", "deadline_s", "priority",
    "interpolate", "upscale",
)  # fmt: skip


def test_no_number_is_too_large_to_be_refused(api: TestClient, store: Store) -> None:
    for field in NUMBERS:
        for huge in HUGE:
            as_json = f'{{"prompt": "{PROMPT}", "{field}": {huge}}}'
            sent = [{"content": as_json, "headers": {"content-type": "application/json"}}]
            sent.append({"files": {"prompt": (None, PROMPT), field: (None, huge)}})
            for body in sent:
                answer = api.post("/v1/videos", **body)  # type: ignore[arg-type]
                assert answer.status_code in (400, 422), (field, huge[:10], answer.text[:200])
    for path in ("/v1/videos", "/v1/webhooks/deliveries"):
        for huge in HUGE:
            assert api.get(path, params={"limit": huge}).status_code == 422
    assert not store.has_work()


WITHIN = [
    ({"num_frames": 4800}, {"num_frames": 4801}),
    ({"seconds": "600"}, {"seconds": "600.2"}),
    ({"steps": 250}, {"steps": 251}),
    ({"guidance_scale": 30}, {"guidance_scale": 30.1}),
    ({"seed": 2**63 - 1}, {"seed": 2**63}),
    ({"priority": 9}, {"priority": 10}),
    ({"deadline_s": 30 * 86_400}, {"deadline_s": 30 * 86_400 + 1}),
    ({"negative_prompt": "x" * 2000}, {"negative_prompt": "x" * 2001}),
    ({"prompt": PROMPT.ljust(2000)}, {"prompt": PROMPT.ljust(2001)}),
    (
        {"seconds": 60, "prompts": [{"at_seconds": n, "prompt": PROMPT} for n in range(50)]},
        {"seconds": 60, "prompts": [{"at_seconds": n, "prompt": PROMPT} for n in range(51)]},
    ),
    ({"metadata": {f"{n}": "" for n in range(16)}}, {"metadata": {f"{n}": "" for n in range(17)}}),
    ({"metadata": {"k" * 64: "v" * 512}}, {"metadata": {"k" * 64: "v" * 513}}),
    (
        {"webhook": {"url": "https://example.com/".ljust(2048, "x")}},
        {"webhook": {"url": "https://example.com/".ljust(2049, "x")}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("most", "more"), WITHIN, ids=[str(list(most))[:40] for most, _ in WITHIN])
def test_what_may_be_asked_ends_where_the_documentation_says(
    api: TestClient, store: Store, most: dict[str, Any], more: dict[str, Any]
) -> None:
    answer = api.post("/v1/videos", json={"prompt": PROMPT, **most})
    assert answer.status_code == 202, answer.text
    assert api.post("/v1/videos", json={"prompt": PROMPT, **more}).status_code == 422
    assert len(api.get("/v1/videos").json()["data"]) == 1


def test_a_page_of_a_list_is_never_long(api: TestClient) -> None:
    for path in ("/v1/videos", "/v1/webhooks/deliveries"):
        assert [api.get(path, params={"limit": n}).status_code for n in (100, 101)] == [200, 422]
