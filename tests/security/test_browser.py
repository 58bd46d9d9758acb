"""The browser: no page of ours runs what others wrote, and no page of others reads what is ours.

What Chromium makes of the studio, `tests/house/test_studio.py` sees.
"""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from service.api import studio
from service.settings import Settings
from tests.service.api.conftest import order
from tests.support.calls import Names, described

ELSEWHERE = {"Origin": "https://evil.example", "Referer": "https://evil.example/", "Sec-Fetch-Site": "cross-site"}


def test_nothing_stands_inline_and_nothing_comes_from_elsewhere(api: TestClient) -> None:
    page = api.get("/").text
    assert "<style" not in page and " style=" not in page and not re.search(r"<script(?![^>]* src=)", page)
    assert not re.search(r"\son\w+=", page)
    for path in studio.FOLDER.glob("*.*"):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text and "innerHTML" not in text and "eval(" not in text, path


def test_the_page_may_open_the_storage_that_videos_are_in_and_nothing_more() -> None:
    assert "connect-src 'self';" in studio.policy(Settings())
    at_home = studio.policy(Settings(storage_url="s3://films", s3_endpoint_url="http://127.0.0.1:9000"))
    assert "connect-src 'self' http://127.0.0.1:9000;" in at_home
    assert "media-src 'self' http://127.0.0.1:9000 blob:;" in at_home
    assert "https://*.amazonaws.com" in studio.policy(Settings(storage_url="s3://films"))
    for policy in (at_home, studio.policy(Settings())):
        assert "unsafe" not in policy and policy.startswith("default-src 'none'; script-src 'self';")
        assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))


@pytest.mark.parametrize("path", ["/", "/studio/studio.js", "/docs"])
def test_every_page_says_what_it_may_open(api: TestClient, path: str) -> None:
    headers = api.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"


def test_what_the_reference_loads_from_elsewhere_is_held_to_its_digest(api: TestClient) -> None:
    page, policy = api.get("/docs").text, api.get("/docs").headers["content-security-policy"]
    loaded = re.findall(r'<(?:script|link)\b[^>]*(?:src|href)="(https?:[^"]+)"[^>]*>', page)
    held = re.findall(
        r'(?:src|href)="(https?:[^"]+)" integrity="sha384-[A-Za-z0-9+/]{64}" crossorigin="anonymous"', page
    )
    assert loaded == held and loaded
    assert all(re.search(r"@\d+\.\d+\.\d+/", url) and url in policy for url in loaded)
    assert "unsafe-inline" not in policy.partition("style-src")[0] and "unsafe-eval" not in policy


def test_no_answer_is_read_as_another_kind_of_file_than_it_says(api: TestClient) -> None:
    video = order(api)["id"]
    names = Names(video_id=video, model_id="tiny-shapes", delivery_id="evt_x")
    paths = [*described(api), ("GET", "/"), ("GET", "/docs"), ("GET", "/metrics"), ("GET", "/nowhere"), ("PUT", "/")]
    for method, path in paths:
        answer = api.request(method, path.format_map(names), json={"prompt": "<script>alert(1)</script>"})
        assert answer.headers["x-content-type-options"] == "nosniff", (method, path)
        if path.startswith("/v1/"):
            assert not answer.headers.get("content-type", "").startswith("text/html"), (method, path)


def test_no_other_origin_may_read_anything_but_a_stream(api: TestClient) -> None:
    """A stream is for players on other pages, by its ticket; no cookie opens anything, so nothing can be ridden on."""
    video = order(api)["id"]
    names = Names(video_id=video, model_id="tiny-shapes", delivery_id="evt_x")
    for method, path in [*described(api), ("GET", "/"), ("GET", "/metrics"), ("GET", "/nowhere")]:
        if method == "DELETE" or "stream" in path or "events" in path:
            continue
        answer = api.request(method, path.format_map(names), json={}, headers=ELSEWHERE)
        opened = [name for name in answer.headers if name.startswith("access-control-")]
        assert not opened and "set-cookie" not in answer.headers, (method, path, opened)
        asked = {
            **ELSEWHERE,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization",
        }
        assert api.options(path.format_map(names), headers=asked).status_code in (404, 405), (method, path)
