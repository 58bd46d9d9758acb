"""What cannot be done is refused, with the field and what is allowed."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from service.store import Store
from tests.service.api.conftest import PROMPT, order, problem

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
    ({"prompts": [{"at_seconds": -1, "prompt": PROMPT}]}, "invalid_value", "prompts[0].at_seconds", "or equal to 0"),
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
    ({"interpolate": True}, "invalid_value", "interpolate", "number of times"),
    ({"interpolate": 0}, "out_of_range", "interpolate", "2 to 5"),
    ({"interpolate": 6}, "out_of_range", "interpolate", "2 to 5"),
    ({"upscale": 3}, "out_of_range", "upscale", "by 2"),
    ({"recipe": {"first_chunk": "sora"}}, "unknown_recipe", "recipe.first_chunk", "make-a-video"),
    ({"recipe": {"streamer": "own"}}, "unknown_recipe", "recipe.streamer", "streaming-t2v"),
    (
        {"recipe": {"first_chunk": "own", "streamer": "text2video-zero"}},
        "unknown_recipe", "recipe.first_chunk", "its own first chunk",
    ),
    ({"recipe": {"rate": 4}}, "unknown_recipe", "recipe.rate", "videocrafter"),
    ({"recipe": {"first_chunk": "make-a-video", "rate": 40}}, "out_of_range", "recipe.rate", "1 to 30"),
    ({"recipe": {"motion": [1, 1]}}, "unknown_recipe", "recipe.motion", "text2video-zero"),
    ({"recipe": {"motion": [1]}}, "missing_field", "recipe.motion[1]", "needed"),
    ({"recipe": {"refiner": "own"}}, "unknown_field", "recipe.refiner", "refiner"),
    ({"turbo": {"solver": "euler"}}, "invalid_value", "turbo.solver", "dpm"),
    ({"turbo": {"guide_to": 2}}, "out_of_range", "turbo", "0 to 1"),
    ({"turbo": {"memory_every": 0}}, "out_of_range", "turbo", "memory_every is 0; 1 to 10"),
    ({"turbo": {"speed": 9}}, "unknown_field", "turbo.speed", "speed"),
    (
        {"turbo": True, "recipe": {"streamer": "make-a-video"}},
        "conflicting_fields", "turbo", "goes on by make-a-video",
    ),
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


def test_a_method_that_is_not_there_is_told_all_that_are(api: TestClient) -> None:
    video = order(api)["id"]
    answer = api.put(f"/v1/videos/{video}", json={})
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"
