"""Bad input over HTTP: a 4xx problem document that names the field and says what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.house import PROMPT, House

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("change", "field", "allowed"),
    [
        ({"model": "huge-shapes"}, "model", "tiny-shapes"),
        ({"num_frames": 0}, "num_frames", "1 to 4800"),
        ({"num_frames": 10**9}, "num_frames", "at most 4800"),
        ({"prompt": "a purple circle moving right"}, "prompt", "red, green, blue"),
        ({"size": "100x100"}, "size", "64x64 and 128x128"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)
def test_a_wrong_field_is_named_and_what_is_allowed_is_said(
    house: House, change: dict[str, Any], field: str, allowed: str
) -> None:
    answer = house.http.post("/v1/videos", json={"prompt": PROMPT} | change)
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert problem["field"] == problem["error"]["param"] == field
    assert allowed in problem["detail"]


def test_malformed_json_is_a_problem(house: House) -> None:
    answer = house.http.post("/v1/videos", content=b'{"prompt": ', headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_a_wrong_key_is_refused(house: House) -> None:
    answer = house.http.post("/v1/videos", json={"prompt": PROMPT}, headers={"Authorization": "Bearer no"})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
