"""Models, webhooks, figures, the studio, and what happens while Redis is away."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import asdict

from fastapi.testclient import TestClient

from models import catalog
from service.store import Store
from tests.service.api.conftest import PROMPT, order, problem
from tests.service.conftest import finish
from tests.support.servers import Valkey


def test_a_model_says_what_can_be_asked_of_it(api: TestClient) -> None:
    card, *_ = cards = api.get("/v1/models").json()["data"]
    assert {card["id"] for card in cards} == set(catalog.offered(()))
    assert card == api.get("/v1/models/tiny-shapes").json()
    model = catalog.find("tiny-shapes")
    assert card["limits"]["max_frames"] == model.max_frames and card["limits"]["sizes"] == ["64x64", "128x128"]
    assert card["limits"]["refined_sizes"] == ["128x128"]
    recipe = card["recipe"]
    assert (recipe["first_chunk"], recipe["streamer"], recipe["inputs"]) == ("own", "streaming-t2v", ["text", "image"])
    assert {"own", "make-a-video"} <= set(recipe["first_chunks"]) <= set(model.first_chunks)
    assert {"streaming-t2v", "make-a-video"} <= set(recipe["streamers"]) <= set(model.streamers)
    assert (recipe["interpolate"], recipe["upscale"]) == ([2, 3, 4, 5], [2])
    assert model.turbo and card["turbo"] == asdict(model.turbo)
    assert api.get("/v1/models/tiny-make-a-video").json()["turbo"] is None
    problem(api.get("/v1/models/sora-2"), 404, "not_found", "model")


def test_deliveries_can_be_seen_and_posted_again_by_their_owner(
    api: TestClient, stranger: TestClient, store: Store
) -> None:
    order(api, webhook={"url": "https://example.com/hook"})
    finish(store)
    (row,) = api.get("/v1/webhooks/deliveries").json()["data"]
    assert (row["type"], row["state"], row["attempts"]) == ("video.completed", "pending", [])
    assert api.post(f"/v1/webhooks/deliveries/{row['id']}/redeliver").status_code == 202
    assert stranger.get("/v1/webhooks/deliveries").json()["data"] == []
    problem(stranger.post(f"/v1/webhooks/deliveries/{row['id']}/redeliver"), 404, "not_found", "id")


def test_a_webhook_secret_is_shown_to_its_tenant_and_rotated(api: TestClient, stranger: TestClient) -> None:
    before = api.get("/v1/webhooks/secret").json()
    assert before["secret"].startswith("whsec_") and before != stranger.get("/v1/webhooks/secret").json()
    after = api.post("/v1/webhooks/secret/rotate").json()
    assert after["signing"] == [after["secret"], before["secret"]]


def test_the_figures_are_read_from_the_queue(api: TestClient, store: Store) -> None:
    order(api)
    text = api.get("/metrics").text
    assert 'longtake_jobs_queued{pool="default"} 1.0' in text and "longtake_store_up 1.0" in text
    finish(store)
    text = api.get("/metrics").text
    assert 'longtake_jobs_total{model="tiny-shapes",outcome="completed"} 1.0' in text
    assert 'longtake_http_requests_total{method="POST",route="/v1/videos",status="202"} 1.0' in text


def test_while_redis_is_away_the_answer_is_503_soon_and_then_all_is_well(api: TestClient, redis_server: Valkey) -> None:
    assert api.get("/readyz").json() == {"status": "ready"}
    redis_server.kill()
    try:
        start = time.monotonic()
        for call in (lambda: api.post("/v1/videos", json={"prompt": PROMPT}), lambda: api.get("/readyz")):
            answer = call()
            problem(answer, 503, "store_unavailable")
            assert answer.headers["retry-after"]
        assert time.monotonic() - start < 2.5
        assert api.get("/healthz").status_code == 200
        assert "longtake_store_up 0.0" in api.get("/metrics").text
    finally:
        redis_server.start()
    assert api.get("/readyz").status_code == 200 and order(api)


def test_a_redis_that_accepts_and_never_answers_is_503_within_the_time_limit(
    api: TestClient, redis_server: Valkey
) -> None:
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        problem(api.get("/v1/videos"), 503, "store_unavailable")
        assert time.monotonic() - start < 1.5
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)


def test_an_unknown_route_is_a_problem_document_too(api: TestClient) -> None:
    problem(api.get("/v2/anything"), 404, "not_found")
    problem(api.put("/v1/videos"), 405, "method_not_allowed")


def test_the_studio_is_served_under_a_strict_policy(api: TestClient) -> None:
    page = api.get("/")
    policy = page.headers["content-security-policy"]
    assert page.status_code == 200 and "default-src 'none'" in policy and "unsafe" not in policy
    assert "<script>" not in page.text and " style=" not in page.text and "onclick" not in page.text
    for name in ("studio.js", "studio.css", "icon.svg"):
        answer = api.get(f"/studio/{name}")
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
    assert api.get("/studio/..%2f..%2fsettings.py").status_code == 404
