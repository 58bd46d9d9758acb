"""Path traversal and key injection: no text of a user becomes part of a path, of an object's key or of a Redis key."""

from __future__ import annotations

import ast
import re
import urllib.parse
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import objects
from service.objects import open_objects
from service.objects_local import LocalObjects
from service.settings import Settings
from tests.service.api.conftest import PROMPT, order
from tests.support.calls import described
from tests.support.processes import ROOT

WAYS_OUT = [
    ".", "..", "../..", "..%2f..%2fetc%2fpasswd", "..\\..", "%2e%2e/", "....//", "/etc/passwd", "//etc", "C:\\", "~",
    "*", "video_" + "0" * 25 + "/", "video_" + "0" * 26 + "\n", "video_" + "0" * 26 + "\0", "video_" + "U" * 26,
    "video_" + "0" * 26 + "/../video_" + "1" * 26, "video_", "%00", "\0", "\r\nX: y", "\u2024\u2024/", "\uff0e\uff0e/",
    "a:b", "{}", "%F0%9F%8E%AC", "\u0660" * 26, "longtake:tenants", "tenant_A/video_A", "evt_" + "0" * 26, "x" * 5000,
]  # fmt: skip
ODD = st.sampled_from(WAYS_OUT) | st.text(max_size=40)
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(ODD)
@settings(max_examples=200, deadline=None)
def test_no_text_of_a_user_leaves_the_folder_of_its_job(text: str) -> None:
    try:
        made = objects.key("tenant_A", "video_A", text)
    except ValueError:
        return
    assert made.count("/") == 2 and ".." not in made.split("/") and made.isascii()


@given(text=ODD)
@few
def test_a_key_that_was_made_elsewhere_does_not_leave_the_storage_either(tmp_path: Path, text: str) -> None:
    """The second door: what a record in Redis says of its objects is not believed."""
    (tmp_path / "secret").write_text("of the machine")
    stored = LocalObjects(tmp_path / "objects")
    for name in (text, f"../{text}", "../secret", str(tmp_path / "secret"), f"a/../../{text}"):
        try:
            assert stored.get(name) != b"of the machine"
        except Exception as refused:
            assert not isinstance(refused, AssertionError), name


def test_no_id_is_more_than_not_found_on_any_route(api: TestClient) -> None:
    for method, path in described(api):
        if "{" in path:
            for wrong in WAYS_OUT[2:]:  # a client takes "." and ".." out of a path by itself
                head, _, tail = path.partition("{")
                url = head + quoted(wrong) + tail.partition("}")[2]
                answer = api.request(method, url, json={"prompt": PROMPT, "at_seconds": 1, "seed": 1})
                assert answer.status_code in (404, 405, 422), (method, url, answer.text)


def quoted(text: str) -> str:
    """As a client sends it; what is quoted already stays so."""
    return urllib.parse.quote(text, safe="%~*")


@given(texts=st.lists(ODD, min_size=4, max_size=4))
@few
def test_all_that_is_kept_has_names_of_our_own(
    api: TestClient, client: redis.Redis, settings: Settings, texts: list[str]
) -> None:
    """Whatever a user writes into an order, every key of Redis is one of the table and every object has a made key."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return
    one, two, three, four = texts
    order(api, prompt=f"{PROMPT} {one[:500]}", metadata={two[:60] or "a": three[:500]})
    for path in ("extensions", "edits"):
        api.post(f"/v1/videos/{path}", json={"video": {"id": four}, "prompt": PROMPT, "seconds": 1})
    api.post("/v1/videos", json={"prompt": PROMPT}, headers={"Idempotency-Key": quoted(one)[:255] or "a"})
    for name in client.scan_iter("*"):
        assert re.fullmatch(r"longtake:(celery:[\w.]+|[a-z_]+(:\w+)*)", name, re.ASCII), name
    for name in open_objects(settings).list(""):
        assert objects.key(*name.split("/")) == name


@pytest.mark.parametrize("name", ["..%2f..%2fsettings.py", "vendor%2f..%2f..%2fids.py", "vendor", "", "nothing.js"])
def test_of_the_studio_nothing_but_its_files_can_be_named(api: TestClient, name: str) -> None:
    assert api.get(f"/studio/{name}").status_code == 404


@given(name=ODD)
@few
def test_no_text_names_a_file_beside_the_studio(api: TestClient, name: str) -> None:
    try:
        answer = api.get(f"/studio/{quoted(name)}")
    except UnicodeEncodeError:
        return
    assert answer.status_code in (200, 404) and "def " not in answer.text and "root:" not in answer.text


def test_storage_is_reached_in_one_place() -> None:
    """What reaches S3 or the disk goes through `service.objects`, whose keys are made of ids."""
    for path in [*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        called = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        if called & {"put_object", "upload_file", "generate_presigned_url", "get_object"}:
            assert path.name == "objects_s3.py"
