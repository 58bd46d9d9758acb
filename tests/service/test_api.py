"""The promises of the HTTP API, against a real store and real storage."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from fastapi.testclient import TestClient

from models import catalog
from service.api.app import create_app
from service.jobs import JobState, Segment
from service.objects import key, open_objects
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.conftest import done, finish
from tests.support import s3
from tests.support.s3 import S3Server
from tests.support.servers import Valkey

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


# Ordering


def test_a_video_is_accepted_with_the_headers_a_client_polls_by(api: TestClient) -> None:
    answer = api.post("/v1/videos", json={"prompt": PROMPT, "seconds": "4"})
    video = answer.json()
    assert answer.status_code == 202 and answer.headers["location"] == f"/v1/videos/{video['id']}"
    assert answer.headers["retry-after"] == "1" and answer.headers["openai-poll-after-ms"] == "1000"
    assert api.get(answer.headers["location"]).json() == video | {"queue_position": 0}


def test_the_video_object_has_openais_fields_and_ours(api: TestClient) -> None:
    openai = {"id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt"}
    openai |= {"size", "seconds", "remixed_from_video_id", "error"}
    ours = {"stage", "chunks", "frames", "fps", "seed", "prompts", "queue_position", "eta_s", "stream_url"}
    ours |= {"started_at", "first_frame_at", "usage", "quality", "metadata"}
    video = order(api, num_frames=40, seed=7, metadata={"shot": "1"})
    assert set(video) == openai | ours
    assert (video["object"], video["status"], video["seconds"]) == ("video", "queued", "5")
    assert (video["size"], video["seed"], video["metadata"]) == ("64x64", 7, {"shot": "1"})
    assert video["chunks"] == {"done": 0, "total": 4} and abs(video["created_at"] - time.time()) < 5


def test_a_new_video_wakes_a_worker_and_a_repeated_order_does_not(api: TestClient, client: redis.Redis) -> None:
    for _ in range(3):
        api.post("/v1/videos", json={"prompt": PROMPT}, headers={"Idempotency-Key": "once"})
    assert client.llen("longtake:celery:render") == 1


def test_every_field_reaches_the_job(api: TestClient, store: Store, tenants: Tenants) -> None:
    fields = {
        "seconds": 3, "seed": 5, "negative_prompt": "blur", "steps": 9, "guidance_scale": 3.5,
        "anchor_guidance_scale": 1.5, "refine": {"steps": 4, "strength": 0.25, "blending": "paper"},
        "prompts": [{"at_seconds": 1.0, "prompt": "a blue star moving up on a navy background"}],
        "priority": 8, "deadline_s": 60, "webhook": {"url": "https://example.com/h", "events": ["video.failed"]},
    }  # fmt: skip
    answer = api.post("/v1/videos", json={"prompt": PROMPT, **fields})
    job = store.get(tenants.keys()[0].tenant, answer.json()["id"])
    made = job.generation
    assert (made.num_frames, made.seed, made.steps, made.guidance_scale) == (24, 5, 9, 3.5)
    assert (made.negative_prompt, made.anchor_guidance_scale, made.size) == ("blur", 1.5, "128x128")
    assert made.refine and (made.refine.steps, made.refine.strength, made.refine.blending) == (4, 0.25, "paper")
    assert made.prompts[0].at_seconds == 1.0
    assert (job.priority, job.deadline_s) == (8, 60)
    assert job.webhook and job.webhook.events == ("video.failed",)


def test_a_video_is_refined_unless_it_is_said_otherwise(api: TestClient) -> None:
    sizes = [
        api.post("/v1/videos", json={"prompt": PROMPT, **more}).json()["size"]
        for more in ({}, {"refine": {}}, {"refine": True}, {"size": "128x128"}, {"refine": False}, {"size": "64x64"})
    ]
    assert sizes == ["128x128"] * 4 + ["64x64"] * 2


def test_a_form_says_the_same_as_json(api: TestClient) -> None:
    """The openai SDK sends forms, with nested fields in brackets."""
    fields = {"prompt": PROMPT, "seconds": "2", "size": "64x64", "metadata[shot]": "1", "seed": "3"}
    files = {name: (None, value) for name, value in fields.items()}
    video = api.post("/v1/videos", files=files).json()
    assert (video["seconds"], video["size"], video["metadata"], video["seed"]) == ("2", "64x64", {"shot": "1"}, 3)
    prompts = json.dumps([{"at_seconds": 1, "prompt": PROMPT}])
    answer = api.post("/v1/videos", files={"prompt": (None, PROMPT), "prompts": (None, prompts)})
    assert answer.json()["prompts"] == [{"at_seconds": 1.0, "prompt": PROMPT}]
    events = [("webhook[url]", "https://a.example/"), ("webhook[events][]", "done")]
    nested = [("prompt", PROMPT), ("prompts[][at_seconds]", "1"), ("prompts[][prompt]", PROMPT)]
    nested += [("prompts[][at_seconds]", "2"), ("prompts[][prompt]", "a blue star")]
    answer = api.post("/v1/videos", files=[(name, (None, text)) for name, text in nested])
    assert [entry["at_seconds"] for entry in answer.json()["prompts"]] == [1.0, 2.0]
    answer = api.post("/v1/videos", files=[(name, (None, text)) for name, text in nested + events])
    problem(answer, 422, "unknown_event", "webhook.events")
    both = [("metadata[a]", "b"), ("metadata[a][b]", "c")]
    answer = api.post("/v1/videos", files=[(name, (None, text)) for name, text in nested + both])
    problem(answer, 400, "malformed_body")
    answer = api.post("/v1/videos", files={"prompt": (None, PROMPT), "input_reference": ("a.png", b"x")})
    problem(answer, 422, "unknown_field", "input_reference")


def test_an_accepted_order_is_kept_beside_its_objects(api: TestClient, settings: Settings, tenants: Tenants) -> None:
    video = order(api)
    place = key(tenants.keys()[0].tenant, video["id"], "job.json")
    assert json.loads(open_objects(settings).get(place))["generation"]["prompt"] == PROMPT


# What cannot be done is refused, with the field and what is allowed

WRONG = [
    ({"prompt": None}, "invalid_value", "prompt", "string"),
    ({"prompt": "  "}, "missing_field", "prompt", "empty"),
    ({"prompt": "x" * 2001}, "too_long", "prompt", "2000"),
    ({"prompt": "a purple circle moving right"}, "prompt_not_understood", "prompt", "red"),
    ({"prompt": "the meaning of life"}, "prompt_not_understood", "prompt", "circle"),
    ({"model": "sora-2"}, "unknown_model", "model", "tiny-shapes"),
    ({"num_frames": 0}, "too_short", "num_frames", "1 to 4800"),
    ({"num_frames": -5}, "too_short", "num_frames", "1 to 4800"),
    ({"num_frames": 10**9}, "too_long", "num_frames", "at most 4800"),
    ({"num_frames": 1.5}, "invalid_value", "num_frames", "integer"),
    ({"seconds": "0"}, "too_short", "seconds", "0.125 to 600"),
    ({"seconds": "1e9"}, "too_long", "seconds", "600"),
    ({"seconds": "soon"}, "invalid_value", "seconds", "600"),
    ({"seconds": "nan"}, "invalid_value", "seconds", "600"),
    ({"seconds": 4, "num_frames": 32}, "conflicting_fields", "num_frames", "not both"),
    ({"size": "1280x720"}, "unknown_size", "size", "64x64 and 128x128"),
    ({"size": "64x64", "refine": True}, "conflicting_fields", "refine", "64x64 is made without"),
    ({"size": "128x128", "refine": False}, "conflicting_fields", "refine", "128x128 with it"),
    ({"refine": {"steps": 0}}, "out_of_range", "refine.steps", "1 to 250"),
    ({"refine": {"strength": 0}}, "out_of_range", "refine.strength", "above 0"),
    ({"refine": {"blending": "glue"}}, "invalid_value", "refine.blending", "randomized"),
    ({"refine": "yes"}, "invalid_value", "refine", "dictionary"),
    ({"seconds": [4]}, "invalid_value", "seconds", "string"),
    ({"steps": 0}, "out_of_range", "steps", "1 to 250"),
    ({"steps": 251}, "out_of_range", "steps", "1 to 250"),
    ({"guidance_scale": -1}, "out_of_range", "guidance_scale", "0 to 30"),
    ({"guidance_scale": 31}, "out_of_range", "guidance_scale", "0 to 30"),
    ({"anchor_guidance_scale": 1e300}, "out_of_range", "anchor_guidance_scale", "0 to 30"),
    ({"negative_prompt": "x" * 2001}, "too_long", "negative_prompt", "2000"),
    ({"prompts": [{"at_seconds": 99, "prompt": PROMPT}]}, "invalid_value", "prompts[0].at_seconds", "below 4"),
    ({"prompts": [{"at_seconds": -1, "prompt": PROMPT}]}, "invalid_value", "prompts[0].at_seconds", "from 0"),
    (
        {"prompts": [{"at_seconds": 1, "prompt": PROMPT}, {"at_seconds": 1, "prompt": PROMPT}]},
        "invalid_value", "prompts[1].at_seconds", "grow",
    ),
    ({"prompts": [{"at_seconds": 1, "prompt": "a pink star"}]}, "prompt_not_understood", "prompts[0].prompt", "red"),
    ({"prompts": [{"prompt": PROMPT}]}, "missing_field", "prompts[0].at_seconds", "needed"),
    ({"seed": -1}, "invalid_value", "seed", "greater"),
    ({"seed": 2**63}, "invalid_value", "seed", "less"),
    ({"priority": 10}, "invalid_value", "priority", "9"),
    ({"deadline_s": 0}, "invalid_value", "deadline_s", "greater"),
    ({"interpolate": True}, "invalid_value", "interpolate", "False"),
    ({"metadata": {"a": 1}}, "invalid_value", "metadata.a", "string"),
    ({"metadata": {str(n): "" for n in range(17)}}, "invalid_value", "metadata", "16"),
    ({"metadata": {"k" * 65: ""}}, "invalid_value", "metadata." + "k" * 65, "64"),
    ({"metadata": {"k": "v" * 513}}, "invalid_value", "metadata.k", "512"),
    ({"webhook": {"url": "http://example.com/"}}, "url_not_allowed", "webhook.url", "https"),
    ({"webhook": {"url": "https://127.0.0.1/"}}, "url_not_allowed", "webhook.url", "private"),
    ({"webhook": {"url": "https://a.example/", "events": ["done"]}}, "unknown_event", "webhook.events", "completed"),
    ({"webhook": {"url": "https://example.com/", "events": []}}, "unknown_event", "webhook.events", "empty"),
    ({"sede": 7}, "unknown_field", "sede", "sede"),
    ({"webhook": {"url": "https://example.com/", "secret": "x"}}, "unknown_field", "webhook.secret", "secret"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "code", "field", "says"), WRONG, ids=[str(list(w[0].items()))[:60] for w in WRONG])
def test_what_cannot_be_done_is_refused_with_the_field_and_what_is_allowed(
    api: TestClient, store: Store, wrong: dict[str, object], code: str, field: str, says: str
) -> None:
    answer = api.post("/v1/videos", json={"prompt": PROMPT, **wrong})
    assert says in problem(answer, 422, code, field)
    assert not store.has_work()


BODIES = [
    (b'{"prompt": ', 400, "malformed_body"),
    (b"", 422, "missing_field"),
    (b"[]", 422, "invalid_value"),
    (b"null", 422, "invalid_value"),
    (b'"text"', 422, "invalid_value"),
    (b'{"prompt": "a red circle \\ud800"}', 422, "invalid_value"),
    (b'{"prompt": "a red circle", "\\udc00": 1}', 422, "invalid_value"),
    (b'{"seed": ' + b"9" * 5000 + b"}", 400, "malformed_body"),
    (b"[" * 100_000, 400, "malformed_body"),
    (b"\xff\xfe", 400, "malformed_body"),
    (b'{"prompt": "a red circle", "guidance_scale": NaN}', 422, "invalid_value"),
]


@pytest.mark.parametrize(("body", "status", "code"), BODIES, ids=[repr(b[0][:20]) for b in BODIES])
def test_a_body_that_makes_no_sense_is_told(api: TestClient, body: bytes, status: int, code: str) -> None:
    answer = api.post("/v1/videos", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_body_of_another_kind_is_told_what_to_be(api: TestClient) -> None:
    answer = api.post("/v1/videos", content=b"prompt=x", headers={"content-type": "application/x-www-form-urlencoded"})
    assert "application/json" in problem(answer, 415, "unsupported_media_type")


def test_a_body_is_cut_at_the_limit_before_it_is_parsed(api: TestClient, settings: Settings) -> None:
    too_much = b'{"prompt": "' + b"x" * settings.body_limit_bytes + b'"}'
    headers = {"content-type": "application/json"}
    problem(api.post("/v1/videos", content=too_much, headers=headers), 413, "body_too_large")
    answer = api.post(
        "/v1/videos", content=(too_much[i : i + 9999] for i in range(0, len(too_much), 9999)), headers=headers
    )
    assert answer.status_code == 413


# Keys and strangers


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ltk_x_y", "Basic abc", "Bearer "])
def test_nothing_is_answered_without_a_valid_key(api: TestClient, header: str | None) -> None:
    video = order(api)["id"]
    headers = {"Authorization": header} if header else {}
    with TestClient(api.app, headers=headers) as nobody:
        for method, path in routes(api):
            answer = nobody.request(
                method, path.format(video_id=video, model_id="tiny-shapes", delivery_id="evt_x"), json={}
            )
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"


def routes(api: TestClient) -> list[tuple[str, str]]:
    """Every route of /v1, from the app's own description."""
    paths = api.get("/openapi.json").json()["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() if path.startswith("/v1/") for method in methods]
    assert len(found) >= 11
    return found


def test_a_strangers_video_is_answered_like_none(api: TestClient, stranger: TestClient) -> None:
    video = order(api)["id"]
    unknown = "video_" + "0" * 26
    for method, path in routes(api):
        if "{video_id}" in path:
            foreign, none = (stranger.request(method, path.format(video_id=v)) for v in (video, unknown))
            assert problem(foreign, 404, "not_found", "id").replace(video, unknown) == none.json()["detail"]
    assert stranger.get("/v1/videos").json()["data"] == []
    assert api.get(f"/v1/videos/{video}").json()["status"] == "queued"


def test_no_id_of_any_form_is_a_bug(api: TestClient) -> None:
    for wrong in ("x", "video_", "..%2f..%2fetc", "video_" + "U" * 26, "%00", "%F0%9F%8E%AC"):
        assert api.get(f"/v1/videos/{wrong}").status_code == 404


# Idempotency


def test_a_repeated_order_is_answered_as_the_first_time(api: TestClient) -> None:
    body = {"prompt": PROMPT}
    first = api.post("/v1/videos", json=body, headers={"Idempotency-Key": "abc"})
    again = api.post("/v1/videos", json=body, headers={"Idempotency-Key": '"abc"'})
    assert again.json() == first.json() and again.headers["idempotency-replayed"] == "true"
    other = api.post("/v1/videos", json=body | {"seed": 1}, headers={"Idempotency-Key": "abc"})
    problem(other, 422, "idempotency_mismatch", "Idempotency-Key")
    problem(
        api.post("/v1/videos", json=body, headers={"Idempotency-Key": ""}), 422, "invalid_request", "Idempotency-Key"
    )


# Looking, listing, cancelling, deleting


def test_a_list_has_openais_shape(api: TestClient) -> None:
    ids = [order(api, metadata={"n": str(n)})["id"] for n in range(3)]
    page = api.get("/v1/videos", params={"limit": 2}).json()
    assert page["object"] == "list" and page["has_more"] is True
    assert {page["first_id"], page["last_id"]} <= set(ids)
    rest = api.get("/v1/videos", params={"after": page["last_id"]}).json()
    assert len(rest["data"]) == 1 and rest["has_more"] is False
    assert len(api.get("/v1/videos", params={"metadata[n]": "1"}).json()["data"]) == 1
    problem(api.get("/v1/videos", params={"limit": 0}), 422, "invalid_value", "limit")
    problem(api.get("/v1/videos", params={"status": "done"}), 422, "invalid_value", "status")


def test_progress_is_told_while_it_is_made(api: TestClient, store: Store) -> None:
    video = order(api, num_frames=32)
    claim = store.claim_next("w")
    assert claim
    store.commit(claim, done(claim))
    store.claim_next("w")
    now = api.get(f"/v1/videos/{video['id']}").json()
    assert (now["status"], now["stage"], now["progress"], now["frames"]) == ("in_progress", "stream", 25, 16)
    assert now["chunks"] == {"done": 1, "total": 3} and now["first_frame_at"] and now["eta_s"] is None


def test_the_eta_is_the_work_left_at_the_measured_pace(api: TestClient, store: Store) -> None:
    order(api, num_frames=32)
    finish(store)
    assert order(api, num_frames=32)["eta_s"] == 2.0


def test_cancelling_is_idempotent(api: TestClient) -> None:
    video = order(api)["id"]
    answers = [api.post(f"/v1/videos/{video}/cancel") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["status"] for answer in answers} == {"cancelled"}


def test_a_deleted_video_leaves_neither_record_nor_object(api: TestClient, settings: Settings) -> None:
    video = order(api)["id"]
    answer = api.delete(f"/v1/videos/{video}").json()
    assert answer == {"id": video, "object": "video.deleted", "deleted": True}
    problem(api.get(f"/v1/videos/{video}"), 404, "not_found", "id")
    assert not [path for path in Path(settings.data_dir).rglob("*") if path.is_file()]


# Content


@pytest.fixture
def finished(api: TestClient, store: Store, settings: Settings, tenants: Tenants) -> str:
    """A video whose file is stored."""
    video = order(api)["id"]
    name = key(tenants.keys()[0].tenant, video, "video.f2.mp4")
    open_objects(settings).put(name, b"0123456789", "video/mp4")
    claim = store.claim_next("w")
    assert claim
    store.commit(claim, done(claim))
    claim = store.claim_next("w")
    assert claim
    assert store.commit(claim, done(claim, artefacts={"video": name})).state == JobState.COMPLETED
    return str(video)


def test_content_has_ranges_and_an_etag(api: TestClient, finished: str) -> None:
    whole = api.get(f"/v1/videos/{finished}/content")
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, b"0123456789", "video/mp4")
    part = api.get(f"/v1/videos/{finished}/content", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    same = api.get(f"/v1/videos/{finished}/content", headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert api.get(f"/v1/videos/{finished}/content", headers={"Range": "bytes=99-"}).status_code == 416


def test_content_that_is_not_there_is_told(api: TestClient, finished: str) -> None:
    problem(api.get(f"/v1/videos/{finished}/content?variant=spritesheet"), 404, "not_found", "variant")
    problem(api.get(f"/v1/videos/{finished}/content?variant=x"), 422, "invalid_value", "variant")
    answer = api.get(f"/v1/videos/{order(api)['id']}/content")
    assert "queued" in problem(answer, 409, "not_ready", "variant") and answer.headers["retry-after"]


def test_the_finished_part_of_a_cancelled_video_can_be_had(
    api: TestClient, store: Store, settings: Settings, tenants: Tenants
) -> None:
    video = order(api, num_frames=32)["id"]
    objects, tenant = open_objects(settings), tenants.keys()[0].tenant
    init = key(tenant, video, "preview", "init.mp4")
    objects.put(init, b"init")
    for n in range(2):
        name = key(tenant, video, "preview", f"{n}.m4s")
        objects.put(name, b"part%d" % n)
        claim = store.claim_next("w")
        assert claim
        report = done(claim)
        assert isinstance(report.segment, Segment)
        segment = report.segment.model_copy(update={"key": name, "init_key": init, "bytes": 5})
        store.commit(claim, report.model_copy(update={"segment": segment}))
    api.post(f"/v1/videos/{video}/cancel")
    answer = api.get(f"/v1/videos/{video}/content")
    assert (answer.status_code, answer.content) == (200, b"initpart0part1")


def test_content_in_s3_is_a_redirect_to_a_url_that_works_without_a_key(
    settings: Settings, s3_server: S3Server, store: Store, tenants: Tenants
) -> None:
    made, token = tenants.create_key()
    there = Settings(**s3.settings(s3_server.endpoint), redis_url=settings.redis_url)
    with TestClient(create_app(there), headers={"Authorization": f"Bearer {token}"}) as api:
        video = order(api)["id"]
        name = key(made.tenant, video, "video.f1.mp4")
        open_objects(there).put(name, b"0123456789", "video/mp4")
        for artefacts in ({}, {"video": name}):
            claim = store.claim_next("w")
            assert claim
            store.commit(claim, done(claim, artefacts=artefacts))
        answer = api.get(f"/v1/videos/{video}/content", follow_redirects=False)
        assert answer.status_code == 307
        part = httpx.get(answer.headers["location"], headers={"Range": "bytes=0-3"})
        assert (part.status_code, part.content, part.headers["content-type"]) == (206, b"0123", "video/mp4")
        assert s3_server.endpoint in api.get("/").headers["content-security-policy"]
        api.delete(f"/v1/videos/{video}")
        assert open_objects(there).list(f"{made.tenant}/") == []


# Models, webhooks, operation


def test_a_model_says_what_can_be_asked_of_it(api: TestClient) -> None:
    (card,) = api.get("/v1/models").json()["data"]
    assert card == api.get("/v1/models/tiny-shapes").json()
    model = catalog.find("tiny-shapes")
    assert card["limits"]["max_frames"] == model.max_frames and card["limits"]["sizes"] == ["64x64", "128x128"]
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
    assert "longtake_jobs_queued 1.0" in text and "longtake_store_up 1.0" in text
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


def test_the_description_of_the_api_says_what_problems_look_like(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert set(operation["responses"]["default"]["content"]) == {"application/problem+json"}, path
    assert "num_frames" in document["components"]["schemas"]["CreateVideo"]["properties"]


def test_an_unknown_route_is_a_problem_document_too(api: TestClient) -> None:
    problem(api.get("/v2/anything"), 404, "not_found")
    problem(api.put("/v1/videos"), 405, "method_not_allowed")


# The studio


def test_the_studio_is_served_under_a_strict_policy(api: TestClient) -> None:
    page = api.get("/")
    policy = page.headers["content-security-policy"]
    assert page.status_code == 200 and "default-src 'none'" in policy and "unsafe" not in policy
    assert "<script>" not in page.text and " style=" not in page.text and "onclick" not in page.text
    for name in ("studio.js", "studio.css", "icon.svg"):
        answer = api.get(f"/studio/{name}")
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
    assert api.get("/studio/..%2f..%2fsettings.py").status_code == 404
