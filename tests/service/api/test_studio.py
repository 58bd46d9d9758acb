"""The studio's files: what they are, how long browsers keep them, and what they may open."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from service.api import studio

HLS = "studio/vendor/hls.js/hls-1.7.4.light.min.mjs"


def test_every_file_that_the_page_and_its_modules_name_is_there(api: TestClient) -> None:
    page = api.get("/").text
    named = set(re.findall(r'(?:src|href)="(studio/[^"]+)"', page))
    for path in studio.FOLDER.glob("*.js"):
        named |= {f"studio/{name}" for name in re.findall(r'"\./([^"]+)"', path.read_text())}
    assert len(named) >= 18 and HLS in named
    for name in named:
        assert api.get(f"/{name}").status_code == 200, name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "text/html"),
        ("studio/studio.js", "text/javascript"),
        ("studio/look.css", "text/css"),
        ("studio/icon.svg", "image/svg+xml"),
        (HLS, "text/javascript"),
        ("studio/vendor/hls.js/LICENSE", "text/plain"),
    ],
)
def test_a_file_is_sent_as_what_it_is_and_once(api: TestClient, name: str, kind: str) -> None:
    first = api.get(f"/{name}")
    assert first.headers["content-type"].startswith(kind) and first.headers["content-encoding"] == "gzip"
    again = api.get(f"/{name}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    plain = api.get(f"/{name}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.content == first.content


def test_what_carries_its_version_is_kept_for_good_and_the_page_is_asked_for_again(api: TestClient) -> None:
    assert "immutable" in api.get(f"/{HLS}").headers["cache-control"]
    for name in ("", "studio/studio.js"):
        assert api.get(f"/{name}").headers["cache-control"] == "no-cache"
