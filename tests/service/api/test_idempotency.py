"""An Idempotency-Key, on every route that makes a video."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.store import Store
from tests.service.api.conftest import PROMPT, order, problem
from tests.service.conftest import complete
from tests.support.calls import body_of, filled

HEADERS = ("location", "retry-after", "openai-poll-after-ms")


def creating(document: dict[str, Any]) -> list[str]:
    """The paths that answer a POST with 202 and a video, from the app's own description."""
    found = []
    for path, operations in document["paths"].items():
        answer = operations.get("post", {}).get("responses", {}).get("202", {})
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith("/Video"):
            found.append(path)
    assert len(found) >= 4
    return found


def test_on_every_route_that_makes_a_video_the_same_request_is_the_same_video(api: TestClient, store: Store) -> None:
    document = api.get("/openapi.json").json()
    parent, other = order(api, num_frames=32)["id"], order(api, num_frames=32)["id"]
    complete(store)
    for n, path in enumerate(creating(document)):
        described = [parameter["name"] for parameter in document["paths"][path]["post"]["parameters"]]
        assert "idempotency-key" in described, path
        body, key = body_of(document, "POST", path, parent), {"Idempotency-Key": f"key {n}".replace(" ", "-")}
        first, again = (api.post(filled(path, parent, ""), json=body, headers=key) for _ in range(2))
        assert (first.status_code, again.status_code) == (202, 202), (path, first.text)
        assert again.json() == first.json() and "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert [again.headers.get(name) for name in HEADERS] == [first.headers.get(name) for name in HEADERS]
        changed = api.post(filled(path, parent, ""), json=body | {"prompt": PROMPT}, headers=key)
        problem(changed, 422, "idempotency_mismatch", "Idempotency-Key")
        elsewhere = api.post(
            filled(path, other, ""), json=body_of(document, "POST", path, other), headers=key
        )  # of another parent, where there is one
        assert (elsewhere.status_code == 422) == (parent in filled(path, parent, "") + str(body)), path
    assert len(api.get("/v1/videos").json()["data"]) == 2 + len(creating(document))


def test_what_was_asked_is_answered_as_the_first_time_whatever_became_of_the_video(
    api: TestClient, store: Store
) -> None:
    def ask() -> Any:
        return api.post("/v1/videos", json={"prompt": PROMPT, "num_frames": 16}, headers={"Idempotency-Key": "k"})

    first = ask().json()
    complete(store)
    again = ask()
    assert (again.status_code, again.json()["status"]) == (202, "queued")
    assert {**again.json(), "eta_s": None} == first
    api.delete(f"/v1/videos/{first['id']}")
    assert ask().json()["id"] == first["id"] and api.get("/v1/videos").json()["data"] == []


def test_a_refused_request_does_not_use_its_key_up(api: TestClient) -> None:
    key = {"Idempotency-Key": "k"}
    problem(
        api.post("/v1/videos", json={"prompt": PROMPT, "num_frames": 0}, headers=key), 422, "too_short", "num_frames"
    )
    assert api.post("/v1/videos", json={"prompt": PROMPT, "num_frames": 16}, headers=key).status_code == 202


@pytest.mark.parametrize("key", ["", " ", "a b", "a\tb", "k" * 256, '"', '"a"b"', "ü".encode().decode("latin-1")])
def test_a_key_that_is_none_is_refused(api: TestClient, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1")), (b"content-type", b"application/json")]
    answer = api.post("/v1/videos", json={"prompt": PROMPT}, headers=headers)  # type: ignore[arg-type]
    problem(answer, 422, "invalid_request", "Idempotency-Key")


@pytest.mark.parametrize(
    "key", ["k", "k" * 255, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", '"8e03978e-40d5-43dd-bc93-6894a57f9324"']
)
def test_a_key_of_visible_characters_is_taken(api: TestClient, key: str) -> None:
    answers = [api.post("/v1/videos", json={"prompt": PROMPT}, headers={"Idempotency-Key": key}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]
