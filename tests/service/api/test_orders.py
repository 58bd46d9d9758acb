"""Ordering a video: what is answered, what reaches the job, and that a repeated order is one order."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import redis
from fastapi.testclient import TestClient

from models.catalog import MODELS
from models.turbo import Turbo
from service.jobs import Generation
from service.objects import key, open_objects
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import PROMPT, order, problem


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
    ours |= {"started_at", "first_frame_at", "usage", "quality", "metadata", "ancestry", "output", "turbo"}
    ours |= {"time_to_first_segment_s", "realtime_factor"}
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


def test_turbo_is_the_models_preset_or_what_is_named(api: TestClient, store: Store, tenants: Tenants) -> None:
    preset = MODELS["tiny-shapes"].turbo
    assert preset

    def made(**fields: Any) -> Generation:
        answer = api.post("/v1/videos", json={"prompt": PROMPT, **fields}).json()
        generation = store.get(tenants.keys()[0].tenant, answer["id"]).generation
        assert answer["turbo"] == (generation.turbo and asdict(generation.turbo))
        return generation

    plain, fast, named = made(turbo=False), made(turbo=True), made(turbo={"guide_to": 0.5})
    assert plain.turbo is None and plain == made(seed=plain.seed)
    assert fast.refine and (fast.turbo, fast.steps, fast.refine.steps) == (
        preset.options, preset.steps, preset.refine_steps,
    )  # fmt: skip
    assert named.refine and (named.steps, named.refine.steps) == (25, 8) and named.turbo == Turbo(guide_to=0.5)
    asked = made(turbo=True, steps=7, refine={"steps": 3})
    assert asked.refine and (asked.steps, asked.refine.steps) == (7, 3)
    form = {"prompt": (None, PROMPT), "turbo[solver]": (None, "unipc"), "turbo[deep_every]": (None, "3")}
    assert api.post("/v1/videos", files=form).json()["turbo"]["deep_every"] == 3


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
    answer = api.post("/v1/videos", files={"prompt": ("prompt.txt", b"x")})
    problem(answer, 422, "invalid_value", "prompt")


def test_an_accepted_order_is_kept_beside_its_objects(api: TestClient, settings: Settings, tenants: Tenants) -> None:
    video = order(api)
    place = key(tenants.keys()[0].tenant, video["id"], "job.json")
    record = json.loads(open_objects(settings).get(place))["job"]["record"]
    assert json.loads(record)["generation"]["prompt"] == PROMPT


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
