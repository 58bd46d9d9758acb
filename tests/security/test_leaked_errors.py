"""Leaked errors: whatever breaks, a client is told what to do and nothing of how or where it broke."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.database import Database
from service.objects_local import LocalObjects
from service.settings import Settings
from service.tenants import Tenants
from tests.service.api.conftest import PROMPT, order
from tests.service.api.test_pictures import data_url, file
from tests.support.calls import body_of, described, filled
from tests.support.servers import free_port

SECRET = "of-the-machine"
TELLTALE = (
    SECRET, "Traceback", 'File "', "ZeroDivision", "Error(", "redis", "boto", "s3://", "127.0.0.1", "localhost",
    "/lua/", "site-packages", "service/", "service.", "errno", "WRONGTYPE", "NOSCRIPT", "ERR ", "object at 0x",
)  # fmt: skip


def every_call(api: TestClient, document: dict[str, Any]) -> list[Any]:
    """The answers of every call, to a video that there is and to one that there is not."""
    answers = []
    for method, path in described(api):
        for video in ("video_" + "0" * 26, "video_" + "1" * 26, "x"):
            body = body_of(document, method, path, video)
            answers.append(api.request(method, filled(path, video, "evt_" + "0" * 26), json=body))
    picture = {"prompt": PROMPT, "input_reference": {"image_url": data_url(file())}}
    answers += [api.post("/v1/videos", json=picture), api.get("/readyz"), api.get("/metrics"), api.get("/nowhere")]
    answers += [api.post("/v1/videos", content=b"{", headers={"content-type": "application/json"})]
    answers += [api.post("/v1/videos", content=b"--", headers={"content-type": "multipart/form-data; boundary=x"})]
    return answers


def check(answers: list[Any], least: int) -> None:
    """Each is well, or a problem document with nothing to give away; so many of them are faults of ours."""
    faults = 0
    for answer in answers:
        told = answer.text.replace("about:blank", "") + str(dict(answer.headers))
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert not [word for word in TELLTALE if word in told], (answer.request.url.path, told)
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
        faults += answer.status_code >= 500
    assert faults >= least


@pytest.fixture
def broken(settings: Settings, tenants: Tenants, tmp_path: Path) -> Callable[..., TestClient]:
    """An API with other settings and a key of its own."""

    def make(**changes: Any) -> TestClient:
        _, token = tenants.create_key()
        app = create_app(Settings.model_validate(settings.model_dump() | changes))
        headers = {"Authorization": f"Bearer {token}"}
        return TestClient(app, headers=headers, raise_server_exceptions=False, base_url="http://video.example")

    return make


def test_a_store_that_is_away_is_not_named(broken: Callable[..., TestClient]) -> None:
    api = broken(redis_url=f"redis://:{SECRET}@127.0.0.1:{free_port()}/0", redis_timeout_s=0.2)
    check(every_call(api, api.get("/openapi.json").json()), least=20)


def test_a_store_that_refuses_is_not_quoted(broken: Callable[..., TestClient], redis_url: str) -> None:
    """Its user may do nothing, or its password is wrong."""
    api = broken(redis_url=redis_url.replace("redis://", f"redis://api:{SECRET}@"))
    check(every_call(api, api.get("/openapi.json").json()), least=20)


def test_a_storage_that_is_away_is_not_named(
    broken: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OSError(5, SECRET, f"/{SECRET}")

    api = broken()
    monkeypatch.setattr(LocalObjects, "_path", away)
    check(every_call(api, api.get("/openapi.json").json()), least=1)


@pytest.mark.parametrize("where", ["run", "command"])
def test_a_bug_is_not_told(
    broken: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, where: str, settings: Settings
) -> None:
    api = broken()
    document = api.get("/openapi.json").json()

    def bug(*_: object) -> None:
        raise ZeroDivisionError(f"{SECRET} at redis://:{SECRET}@127.0.0.1/0 in {settings.data_dir}")

    monkeypatch.setattr(Database, where, bug)
    check(every_call(api, document), least=1)
    monkeypatch.undo()
    assert order(api)["status"] == "queued"
