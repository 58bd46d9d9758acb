"""Looking at videos, listing, cancelling, deleting them, and their content."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.jobs import JobState, Segment
from service.objects import key, open_objects
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import order, problem
from tests.service.conftest import done, finish
from tests.support import s3
from tests.support.s3 import S3Server


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
    none = api.get(f"/v1/videos/{finished}/content", headers={"Range": "bytes=99-"})
    assert "10 bytes" in problem(none, 416, "range_not_satisfiable") and none.headers["content-range"] == "bytes */10"


def test_content_can_be_asked_about_without_being_fetched(api: TestClient, finished: str) -> None:
    whole, asked = api.get(f"/v1/videos/{finished}/content"), api.head(f"/v1/videos/{finished}/content")
    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-length", "content-type", "etag"):
        assert asked.headers[name] == whole.headers[name]
    assert api.head("/v1/videos/video_00000000000000000000000000/content").status_code == 404


@pytest.mark.parametrize("header", ["frames=1-2", "bytes=4-2", "bytes=-", "bytes=a-b", "bytes"])
def test_a_range_that_is_none_is_passed_over(api: TestClient, finished: str, header: str) -> None:
    answer = api.get(f"/v1/videos/{finished}/content", headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, b"0123456789")


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
    asked = api.head(f"/v1/videos/{video}/content")
    assert (asked.status_code, asked.content, asked.headers["content-length"]) == (200, b"", "14")
    same = api.get(f"/v1/videos/{video}/content", headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


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
        asked = api.head(f"/v1/videos/{video}/content", follow_redirects=False)
        told = httpx.head(asked.headers["location"])
        assert (told.status_code, told.headers["content-length"]) == (200, "10")
        assert s3_server.endpoint in api.get("/").headers["content-security-policy"]
        api.delete(f"/v1/videos/{video}")
        assert open_objects(there).list(f"{made.tenant}/") == []
