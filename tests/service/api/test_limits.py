"""How a client learns of its limits: the headers of every answer, and what it is told at the end of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from service.tenants import Tenants
from tests.service.api.conftest import PROMPT, order, problem
from tests.support.calls import Names, described

ApiWith = Callable[..., TestClient]
ORDER = {"prompt": PROMPT, "num_frames": 16, "refine": False}


@pytest.fixture
def api_with(settings: Settings, tenants: Tenants) -> Iterator[ApiWith]:
    """A client of a service with these settings."""
    clients = []

    def make(**changes: int) -> TestClient:
        _, token = tenants.create_key()
        app = create_app(settings.model_copy(update=changes))
        clients.append(TestClient(app, headers={"Authorization": f"Bearer {token}"}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_every_answer_to_a_key_says_what_is_left_also_a_refusal(api_with: ApiWith) -> None:
    api = api_with(tenant_requests_per_minute=6000)
    names = Names(video_id="video_" + "0" * 26, delivery_id="evt_x")
    for method, path in described(api):
        answer = api.request(method, path.format_map(names), json={})
        assert answer.headers["ratelimit-policy"] == '"requests";q=6000;w=60', (method, path)
        assert answer.headers["ratelimit"].startswith('"requests";r='), (method, path)
        nobody = api.request(method, path.format_map(names), json={}, headers={"Authorization": "Bearer wrong"})
        assert nobody.status_code == 401 and "ratelimit" not in nobody.headers


def test_above_the_rate_every_request_is_told_when_to_come_back(api_with: ApiWith) -> None:
    api = api_with(tenant_requests_per_minute=3)
    answers = [api.get("/v1/videos") for _ in range(4)]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert "3 requests a minute" in problem(answers[-1], 429, "rate_limited")
    assert answers[-1].json()["error"]["type"] == "rate_limit_error"
    assert 19 <= int(answers[-1].headers["retry-after"]) <= 20
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("limits", "code", "says"),
    [
        ({"tenant_live_jobs": 1}, "too_many_videos", "1 videos queued or running"),
        ({"tenant_queued_jobs": 1}, "queue_full", "1 of your videos wait"),
        ({"tenant_frames_per_day": 20}, "daily_frames_spent", "20 frames a day"),
    ],
)
def test_a_tenant_at_its_limit_is_told_which_and_when_to_come_back(
    api_with: ApiWith, limits: dict[str, int], code: str, says: str
) -> None:
    api = api_with(**limits)
    order(api)
    answer = api.post("/v1/videos", json=ORDER)
    assert says in problem(answer, 429, code) and 1 <= int(answer.headers["retry-after"]) <= 86_400


def test_a_full_service_is_503_and_says_when_to_come_back(api_with: ApiWith, stranger: TestClient) -> None:
    order(stranger)
    answer = api_with(queue_limit=1).post("/v1/videos", json=ORDER)
    problem(answer, 503, "service_busy")
    assert answer.headers["retry-after"] == "30" and "ratelimit" in answer.headers


def test_the_frames_that_are_left_of_the_day_are_in_the_headers(api_with: ApiWith) -> None:
    api = api_with(tenant_frames_per_day=100)
    order(api)
    answer = api.get("/v1/videos")
    assert '"frames";q=100;w=86400;qu="frames"' in answer.headers["ratelimit-policy"]
    assert '"frames";r=84;t=' in answer.headers["ratelimit"]


def test_nobody_pays_for_the_requests_of_another(api_with: ApiWith, tenants: Tenants) -> None:
    api = api_with(tenant_requests_per_minute=1)
    assert [api.get("/v1/videos").status_code for _ in range(2)] == [200, 429]
    _, token = tenants.create_key("another")
    assert api.get("/v1/videos", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert api.get("/v1/videos", headers={"Authorization": "Bearer wrong"}).status_code == 401
