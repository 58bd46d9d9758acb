"""Presigned URLs: each opens one object, for reading, for a while. On a real S3 server."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from service.api.studio import policy
from service.objects import Objects, key, open_objects
from service.settings import Settings
from tests.support import s3
from tests.support.s3 import S3Server

MINE = key("tenant_A", "video_A", "video.f1.mp4")
OTHERS = key("tenant_B", "video_B", "video.f1.mp4")


@pytest.fixture(scope="module")
def objects(s3_server: S3Server) -> Objects:
    objects = open_objects(Settings(**s3.settings(s3_server.endpoint), presign_ttl_s=60))
    for name in (MINE, OTHERS):
        objects.put(name, b"0123456789", "video/mp4")
    return objects


def url_of(objects: Objects) -> str:
    url = objects.presign(MINE, "video_A.mp4", "video/mp4")
    assert url is not None
    return url


def changed(url: str, path: str | None = None, **query: str | None) -> str:
    """The same URL with another path or other parameters; None takes one away."""
    parts = urlsplit(url)
    asked = {k: v for k, v in (dict(parse_qsl(parts.query)) | query).items() if v is not None}
    return urlunsplit(parts._replace(path=path or parts.path, query=urlencode(asked)))


def test_it_serves_the_object_and_ranges_of_it_under_our_name_for_it(objects: Objects) -> None:
    answer = httpx.get(url_of(objects), headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == 'inline; filename="video_A.mp4"'


def test_it_names_the_storage_as_clients_call_it(s3_server: S3Server, objects: Objects) -> None:
    outside = s3_server.endpoint.replace("127.0.0.1", "localhost")
    told = Settings(**s3.settings(s3_server.endpoint), s3_public_url=outside)
    url = url_of(open_objects(told))
    assert url.startswith(f"{outside}/") and httpx.get(url).content == b"0123456789"
    assert outside in policy(told) and s3_server.endpoint not in policy(told)
    assert httpx.get(url.replace("localhost", "127.0.0.1")).status_code == 403  # the name is signed


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_it_is_for_reading_only(objects: Objects, method: str) -> None:
    assert httpx.request(method, url_of(objects), content=b"x").status_code in (403, 405, 501)
    assert objects.get(MINE) == b"0123456789"


def test_it_opens_no_other_object_and_no_list(objects: Objects) -> None:
    url = url_of(objects)
    path = urlsplit(url).path
    bucket = "/" + path.split("/")[1]
    for other in (path.replace(MINE, OTHERS), path + "x", path.rpartition("/")[0], f"{bucket}/", bucket, "/"):
        assert httpx.get(changed(url, other)).status_code in (403, 404), other
    assert httpx.get(changed(url, path.replace("video_A", "video_A/../../tenant_B/video_B"))).status_code in (403, 404)


@pytest.mark.parametrize(
    "tampered",
    [
        {"X-Amz-Expires": "604800"},
        {"X-Amz-Date": "20990101T000000Z"},
        {"X-Amz-Signature": "0" * 64},
        {"X-Amz-Signature": None},
        {"X-Amz-Credential": None},
        {"response-content-type": "text/html"},
        {"response-content-disposition": "attachment"},
        {"versionId": "x", "acl": ""},
    ],
    ids=str,
)
def test_nothing_in_it_can_be_changed(objects: Objects, tampered: dict[str, str | None]) -> None:
    assert httpx.get(changed(url_of(objects), **tampered)).status_code in (400, 403)


def test_without_a_signature_nothing_is_served(objects: Objects) -> None:
    assert httpx.get(url_of(objects).partition("?")[0]).status_code in (400, 403)


def test_it_ends(objects: Objects, s3_server: S3Server) -> None:
    short = open_objects(Settings(**s3.settings(s3_server.endpoint), presign_ttl_s=1))
    url = url_of(short)
    assert httpx.get(url).status_code == 200
    time.sleep(2.1)
    assert httpx.get(url).status_code == 403


def test_it_is_short_by_default(objects: Objects) -> None:
    assert Settings().presign_ttl_s <= 15 * 60
