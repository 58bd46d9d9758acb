"""The promises of object storage, the same for a folder and for a real S3 server."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from botocore.stub import Stubber

from service.errors import NotFound, StorageUnavailable
from service.objects import Objects, key, open_objects
from service.objects_local import LocalObjects
from service.objects_s3 import S3Objects
from service.settings import Settings
from tests.support import s3
from tests.support.s3 import S3Server
from tests.support.servers import free_port

NAME = key("tenant_A", "video_A", "preview", "00000012.f3.m4s")


def s3_settings(endpoint: str) -> Settings:
    return Settings(**s3.settings(endpoint), presign_ttl_s=60)


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "local":
        return open_objects(Settings(data_dir=tmp_path / "data"))
    objects = open_objects(s3_settings(request.getfixturevalue("s3_server").endpoint))
    objects.delete_prefix("tenant_A/video_A/")
    return objects


def test_what_is_put_is_read_back_exactly(objects: Objects, tmp_path: Path) -> None:
    body = os.urandom(300_000)
    (tmp_path / "file").write_bytes(body)
    for source in (body, tmp_path / "file"):
        objects.put(NAME, source, "video/mp4")
        assert objects.get(NAME) == body and objects.exists(NAME)
    objects.download(NAME, tmp_path / "copy")
    assert hashlib.sha256((tmp_path / "copy").read_bytes()).digest() == hashlib.sha256(body).digest()


def test_a_second_put_replaces_the_first_as_a_whole(objects: Objects) -> None:
    objects.put(NAME, b"a" * 1000)
    objects.put(NAME, b"b")
    assert objects.get(NAME) == b"b"


def test_an_object_that_is_not_there_is_told(objects: Objects, tmp_path: Path) -> None:
    assert not objects.exists(NAME)
    with pytest.raises(NotFound):
        objects.get(NAME)
    with pytest.raises(NotFound):
        objects.download(NAME, tmp_path / "copy")


def test_a_job_is_erased_without_its_neighbours(objects: Objects) -> None:
    neighbour = key("tenant_A", "video_AB", "job.json")
    for name in (NAME, key("tenant_A", "video_A", "job.json"), neighbour):
        objects.put(name, b"x")
    assert objects.list("tenant_A/video_A/") == ["tenant_A/video_A/job.json", NAME]
    assert objects.delete_prefix("tenant_A/video_A/") == 2
    assert objects.list("tenant_A/video_A/") == [] and objects.exists(neighbour)
    assert objects.delete_prefix("tenant_A/video_A/") == 0
    objects.delete_prefix("tenant_A/video_AB/")


def test_one_object_is_erased_and_again_is_no_error(objects: Objects) -> None:
    beside = key("tenant_A", "video_A", "job.json")
    for name in (NAME, beside):
        objects.put(name, b"x")
    objects.delete(NAME)
    objects.delete(NAME)
    assert objects.list("tenant_A/video_A/") == [beside]
    objects.delete_prefix("tenant_A/video_A/")


def test_only_the_folder_of_one_job_can_be_erased(objects: Objects) -> None:
    for prefix in ("", "/", "tenant_A/", "tenant_A/video"):
        with pytest.raises(ValueError):
            objects.delete_prefix(prefix)


def test_a_healthy_storage_passes_its_check(objects: Objects) -> None:
    objects.check()


def test_a_put_that_broke_off_leaves_the_old_object(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    objects.put(NAME, b"old")
    with pytest.raises(NotFound):
        objects.put(NAME, tmp_path / "no such file")
    assert objects.get(NAME) == b"old"
    assert [path.name for path in (tmp_path / "objects").rglob("*") if path.is_file()] == ["00000012.f3.m4s"]


def test_objects_outlive_the_server(s3_server: S3Server) -> None:
    objects = open_objects(s3_settings(s3_server.endpoint))
    objects.put(NAME, b"kept")
    s3_server.kill()
    s3_server.start()
    assert objects.get(NAME) == b"kept"


def test_a_storage_that_is_away_is_an_error_that_may_pass() -> None:
    objects = S3Objects(s3_settings(f"http://127.0.0.1:{free_port()}"), bucket="videos")
    for call in (lambda: objects.get(NAME), lambda: objects.put(NAME, b"x"), objects.check):
        with pytest.raises(StorageUnavailable) as caught:
            call()
        assert caught.value.retryable


def test_a_storage_without_its_bucket_is_not_ready_and_nothing_that_is_not_found() -> None:
    objects = S3Objects(s3_settings("http://127.0.0.1:9"), bucket="videos")
    with Stubber(objects._s3) as server:
        server.add_client_error("head_bucket", "404", http_status_code=404)
        with pytest.raises(StorageUnavailable, match="'videos'"):
            objects.check()
