"""What holds for every request: its id in the answer and in the log."""

from __future__ import annotations

import io
import json
import logging

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.ids import is_id
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import PROMPT
from tests.support.calls import Names, described


def test_every_answer_has_a_request_id_of_its_own(api: TestClient) -> None:
    names = Names(video_id="video_" + "0" * 26, delivery_id="evt_x", model_id="none")
    paths = [*described(api), ("GET", "/"), ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/nowhere"), ("PUT", "/")]
    ids = [
        api.request(method, path.format_map(names), json={}).headers.get("x-request-id", "") for method, path in paths
    ]
    assert all(is_id(found, "req") for found in ids) and len(set(ids)) == len(ids)


def test_every_line_that_is_logged_for_a_request_carries_its_id(api: TestClient, log: io.StringIO) -> None:
    answer = api.post("/v1/videos", json={"prompt": PROMPT}, headers={"X-Request-Id": "of the client"})
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    own = [line for line in lines if line["logger"].startswith("service.")]
    assert {line["message"] for line in own} >= {"video ordered", "request"}
    assert {line["request_id"] for line in own} == {answer.headers["x-request-id"]}
    api.get("/healthz")
    assert len({json.loads(line)["request_id"] for line in log.getvalue().splitlines() if "request_id" in line}) == 2


def test_a_line_of_no_request_has_no_id(log: io.StringIO) -> None:
    logging.getLogger("service.anything").info("by itself")
    assert "request_id" not in json.loads(log.getvalue())


def test_a_bug_is_logged_under_the_id_that_the_client_is_told(
    settings: Settings, tenants: Tenants, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Store, "place", broken)
    _, token = tenants.create_key()
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {token}"}) as api:
        answer = api.get("/v1/videos/video_" + "0" * 26)
    assert answer.status_code == 500 and "ZeroDivision" not in answer.text
    (line,) = [json.loads(line) for line in log.getvalue().splitlines() if "request failed" in line]
    assert line["request_id"] == answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "a bug" in line["exception"]
