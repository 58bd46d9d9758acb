"""API keys: nothing without a valid one, nothing beyond its scopes, and nobody learns one from what is kept or told."""

from __future__ import annotations

import io
import json
import statistics
import time

import pytest
import redis
from fastapi.testclient import TestClient

from service.errors import Unauthorized
from service.keys import key
from service.scopes import Scope
from service.tenants import Tenants
from tests.service.api.conftest import order, problem
from tests.support.calls import Names, described
from tests.support.servers import Valkey


def wrong_ones(token: str) -> list[str]:
    """Of every kind: a wrong secret, an unknown id, nonsense."""
    other = token[:-1] + ("A" if token[-1] != "A" else "B")
    return [
        other,
        token[:-2] + "AA",
        "ltk_" + "0" * 26 + token[30:],
        token + "A",
        token[:-1],
        token.upper(),
        "x",
        "é" * 50,
    ]


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ltk_x_y", "Basic abc", "Bearer "])
def test_nothing_is_answered_without_a_valid_key(api: TestClient, header: str | None) -> None:
    video = order(api)["id"]
    headers = {"Authorization": header} if header else {}
    with TestClient(api.app, headers=headers) as nobody:
        for method, path in described(api):
            answer = nobody.request(
                method, path.format_map(Names(video_id=video, model_id="tiny-shapes", delivery_id="evt_x")), json={}
            )
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"


SCOPES = {"videos": (Scope.VIDEOS_READ, Scope.VIDEOS_WRITE), "webhooks": (Scope.WEBHOOKS, Scope.WEBHOOKS)}


def test_a_key_does_what_its_scopes_say_on_every_route(api: TestClient, tenants: Tenants) -> None:
    """Also on a route that is new: what it needs follows from its path and method alone."""
    video = order(api)["id"]
    names = {"video_id": video, "model_id": "tiny-shapes", "delivery_id": "evt_x"}
    tokens = {scope: tenants.create_key(scopes=frozenset({scope}))[1] for scope in Scope}
    for method, path in described(api):
        pair = SCOPES.get(path.split("/")[2])
        needed = pair and pair[method != "GET"]
        for scope, token in tokens.items():
            answer = api.request(
                method, path.format_map(Names(names)), json={}, headers={"Authorization": f"Bearer {token}"}
            )
            allowed = needed in (None, scope)
            assert (answer.status_code == 403) != allowed, (method, path, scope, answer.text)
            if not allowed:
                assert f"'{needed}'" in problem(answer, 403, "missing_scope")
                assert f'scope="{needed}"' in answer.headers["www-authenticate"]
        if method == "DELETE":
            names["video_id"] = order(api)["id"]


def test_every_key_that_is_not_right_is_answered_alike(api: TestClient, tenants: Tenants) -> None:
    """Also one that was right once: nobody learns which part of a guess was good."""
    made, token = tenants.create_key()
    revoked, revoked_token = tenants.create_key()
    tenants.revoke(revoked.id)
    answers = set()
    for wrong in (*wrong_ones(token), revoked_token):
        answer = TestClient(api.app).get("/v1/videos", headers={"Authorization": f"Bearer {wrong}".encode()})
        problem(answer, 401, "unauthorized")
        told = {k: v for k, v in answer.json().items() if k != "request_id"}
        headers = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
        answers.add(json.dumps([told, headers], sort_keys=True))
    assert len(answers) == 1 and tenants.authenticate(token).id == made.id


def test_a_known_and_an_unknown_key_take_the_same_time(tenants: Tenants) -> None:
    _, token = tenants.create_key()
    wrong = token[:-2] + "AA"
    unknown = "ltk_" + "0" * 26 + token[30:]

    times: dict[str, list[float]] = {wrong: [], unknown: []}
    for _ in range(300):
        for candidate, taken in times.items():  # in turn, so that a busy machine slows both
            start = time.perf_counter()
            with pytest.raises(Unauthorized):
                tenants.authenticate(candidate)
            taken.append(time.perf_counter() - start)
    assert statistics.median(times[wrong]) == pytest.approx(statistics.median(times[unknown]), rel=0.5)


def test_all_that_the_store_ever_wrote_holds_no_key(
    api: TestClient, tenants: Tenants, client: redis.Redis, redis_server: Valkey
) -> None:
    """Its log of writes is on disk in plain text, and in every copy of it."""
    made, token = tenants.create_key("acme", "ci")
    for candidate in (token, *wrong_ones(token)[:3]):
        TestClient(api.app).get("/v1/videos", headers={"Authorization": f"Bearer {candidate}"})
    assert tenants.key(made.id).last_used_at and client.hget(key("api_key", made.id), "sha256")
    written = b"".join(path.read_bytes() for path in redis_server.folder.rglob("*.aof"))
    assert made.id.encode() in written
    assert token.encode() not in written and token.split("_", 2)[2].encode() not in written


def test_a_key_stands_in_no_log_line_wherever_a_client_put_it(
    api: TestClient, tenants: Tenants, log: io.StringIO
) -> None:
    _, token = tenants.create_key()
    for wrong in (token, wrong_ones(token)[0]):
        sent = {
            "Authorization": f"Bearer {wrong}",
            "Idempotency-Key": wrong,
            "Last-Event-ID": wrong,
            "traceparent": wrong,
        }
        for path in (f"/v1/videos/{wrong}", f"/{wrong}", "/v1/videos"):
            api.get(path, params={"token": wrong, "after": wrong, "status": wrong}, headers=sent)
        body = {"prompt": wrong, "model": wrong, wrong: wrong, "webhook": {"url": f"https://{wrong}/?token={wrong}"}}
        api.post("/v1/videos", json=body, headers=sent)
        api.post("/v1/videos", content=wrong, headers=sent)
    secret = token.split("_", 2)[2]
    assert len(log.getvalue().splitlines()) >= 10 and secret[:-1] not in log.getvalue()


def test_a_key_is_in_no_answer_but_the_one_that_makes_it(api: TestClient, tenants: Tenants) -> None:
    token = str(api.headers["authorization"]).split()[1]
    video = order(api)["id"]
    for method, path in described(api):
        names = Names(video_id=video, model_id="tiny-shapes", delivery_id="evt_x")
        answer = api.request(method, path.format_map(names), json={})
        assert token.split("_", 2)[2] not in answer.text + str(answer.headers), (method, path)
        if method == "DELETE":
            video = order(api)["id"]
