"""The live playlist over HTTP: who may open it, what it leads to, and what is answered when there is nothing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import redis
from fastapi.testclient import TestClient

from service import ids
from service.api.app import create_app
from service.jobs import Segment
from service.objects import key, open_objects
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from service.tickets import Tickets
from tests.service.api.conftest import order, problem
from tests.service.conftest import done
from tests.support import s3
from tests.support.s3 import S3Server


@pytest.fixture
def anybody(api: TestClient) -> Iterator[TestClient]:
    """A player: no key, another origin."""
    with TestClient(api.app, headers={"Origin": "https://elsewhere.example"}) as anybody:
        yield anybody


@pytest.fixture
def hold_s() -> float:
    return 0.3


@pytest.fixture
def settings(settings: Settings, hold_s: float) -> Settings:
    return settings.model_copy(update={"playlist_hold_s": hold_s})


def make_chunks(store: Store, settings: Settings, count: int) -> None:
    """Commit the next units with segments that hold their own name."""
    objects = open_objects(settings)
    for _ in range(count):
        claim = store.claim_next("w")
        assert claim is not None
        unit = claim.job.generation.plan()[claim.position]
        place = [claim.job.tenant, claim.job.id, "preview"]
        segment_key, init_key = key(*place, f"{unit.first_frame:08d}.f1.m4s"), key(*place, "init.mp4")
        objects.put(init_key, b"the init")
        objects.put(segment_key, unit.key.encode())
        segment = Segment(
            track="preview",
            key=segment_key,
            init_key=init_key,
            first_frame=unit.first_frame,
            num_frames=unit.num_frames,
            duration_s=unit.num_frames / 8,
            bytes=len(unit.key),
            sha256="0" * 64,
            init_sha256="1" * 64,
        )
        store.commit(claim, done(claim, segment=None if unit.stage == "finish" else segment))


def uris(playlist: httpx.Response) -> list[str]:
    """Every URI of a playlist, absolute."""
    named = re.findall(r'^([^#\s].*)$|URI="([^"]+)"', playlist.text, re.MULTILINE)
    return [urljoin(str(playlist.url), first or second) for first, second in named]


def test_a_stream_url_opens_the_video_without_a_key_from_any_origin(
    api: TestClient, anybody: TestClient, store: Store, settings: Settings
) -> None:
    video = order(api, num_frames=32)
    make_chunks(store, settings, 2)
    playlist = anybody.get(video["stream_url"])
    assert playlist.status_code == 200
    assert playlist.headers["content-type"].startswith("application/vnd.apple.mpegurl")
    assert playlist.headers["cache-control"] == "no-store"
    init, first, second = uris(playlist)
    for uri, body in ((init, b"the init"), (first, b"initialize-00000"), (second, b"stream-00001")):
        part = anybody.get(uri)
        assert (part.status_code, part.content) == (200, body)
        assert "immutable" in part.headers["cache-control"] and part.headers["access-control-allow-origin"] == "*"
    ranged = anybody.get(first, headers={"Range": "bytes=0-3"})
    assert (ranged.status_code, ranged.content) == (206, b"init")
    etag = anybody.get(first).headers["etag"]
    assert anybody.get(first, headers={"If-None-Match": etag}).status_code == 304
    for uri in (video["stream_url"], first):
        asked = anybody.head(uri)
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-length"] == str(len(anybody.get(uri).content))


def test_the_key_opens_it_too_and_the_links_need_no_header(
    api: TestClient, anybody: TestClient, store: Store, settings: Settings
) -> None:
    video = order(api)["id"]
    make_chunks(store, settings, 1)
    for uri in uris(api.get(f"/v1/videos/{video}/stream.m3u8")):
        assert anybody.get(uri).status_code == 200


def test_a_stream_url_stays_the_same_while_it_is_polled(api: TestClient) -> None:
    video = order(api)
    assert api.get(f"/v1/videos/{video['id']}").json()["stream_url"] == video["stream_url"]
    assert api.get("/v1/videos").json()["data"][0]["stream_url"] == video["stream_url"]


def test_a_ticket_opens_its_own_video_and_nothing_else(
    api: TestClient, anybody: TestClient, stranger: TestClient, store: Store, settings: Settings
) -> None:
    mine, other = order(api), order(api)
    make_chunks(store, settings, 2)
    token = mine["stream_url"].partition("?token=")[2]
    name = f"/v1/videos/{other['id']}"
    for path in ("stream.m3u8", "preview.m3u8", "segments/preview/0.m4s", "segments/preview/0.mp4"):
        assert anybody.get(f"{name}/{path}", params={"token": token}).status_code == 401, path
        assert anybody.get(f"/v1/videos/{mine['id']}/{path}").status_code == 401, path
        assert stranger.get(f"/v1/videos/{mine['id']}/{path}").status_code == 404, path
        assert anybody.get(f"/v1/videos/{mine['id']}/{path}", params={"token": token}).status_code == 200, path
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", ""), ("POST", "/cancel")):
        answer = anybody.request(method, f"/v1/videos/{mine['id']}{path}", params={"token": token})
        assert answer.status_code == 401, path
    assert stranger.get("/v1/videos", params={"token": token}).json()["data"] == []


@pytest.mark.parametrize("change", ["longer", "letter", "none", "late", "form"])
def test_a_ticket_that_was_changed_opens_nothing(api: TestClient, anybody: TestClient, change: str) -> None:
    video = order(api)
    until, _, mac = video["stream_url"].partition("?token=")[2].partition("-")
    wrong = {
        "longer": f"{int(until) + 1}-{mac}",
        "letter": f"{until}-{'B' if mac[0] == 'A' else 'A'}{mac[1:]}",
        "none": "",
        "late": f"{10**11}-{mac}",
        "form": "é\n",
    }[change]
    refused = anybody.get(f"/v1/videos/{video['id']}/stream.m3u8", params={"token": wrong})
    problem(refused, 401, "unauthorized")
    assert refused.headers["access-control-allow-origin"] == "*", "a page elsewhere must be able to read why"


def test_an_expired_ticket_is_refused_and_says_so(
    api: TestClient, anybody: TestClient, client: redis.Redis, settings: Settings
) -> None:
    video = order(api)["id"]
    old = Tickets(client, settings).issue(video, time.time() - 2 * settings.stream_url_ttl_s)
    problem(anybody.get(f"/v1/videos/{video}/stream.m3u8", params={"token": old}), 401, "link_expired")


def test_every_process_knows_the_tickets_of_the_others(client: redis.Redis, settings: Settings) -> None:
    assert Tickets(client, settings).issue("video_x") == Tickets(client, settings).issue("video_x")


def test_the_playlist_of_a_deleted_video_is_gone(api: TestClient, anybody: TestClient) -> None:
    video = order(api)
    api.delete(f"/v1/videos/{video['id']}")
    problem(anybody.get(video["stream_url"]), 410, "gone")
    problem(api.get(f"/v1/videos/{video['id']}/stream.m3u8"), 404, "not_found", "id")
    assert anybody.get(f"/v1/videos/{ids.new('video')}/stream.m3u8?token=1-x").status_code == 401


@pytest.mark.parametrize("hold_s", [19.0])
def test_a_player_that_is_early_waits_for_the_first_segment(
    api: TestClient, anybody: TestClient, store: Store, settings: Settings
) -> None:
    url = order(api)["stream_url"]
    work = threading.Timer(0.5, make_chunks, (store, settings, 1))
    work.start()
    began = time.monotonic()
    assert len(uris(anybody.get(url))) == 2
    assert 0.4 < time.monotonic() - began < 10
    work.join()


@pytest.mark.parametrize("hold_s", [19.0])
def test_a_player_that_waits_is_told_that_there_will_be_nothing(api: TestClient, anybody: TestClient) -> None:
    video = order(api)
    cancel = threading.Timer(0.5, api.post, (f"/v1/videos/{video['id']}/cancel",))
    cancel.start()
    problem(anybody.get(video["stream_url"]), 404, "not_found", "id")
    cancel.join()


def test_a_playlist_with_nothing_yet_is_valid_and_open(api: TestClient, anybody: TestClient) -> None:
    playlist = anybody.get(order(api)["stream_url"])
    assert playlist.status_code == 200 and uris(playlist) == []
    assert "#EXT-X-TARGETDURATION:2" in playlist.text and "ENDLIST" not in playlist.text


def test_a_video_that_ended_with_nothing_to_see_has_no_stream(api: TestClient, anybody: TestClient) -> None:
    video = order(api)
    api.post(f"/v1/videos/{video['id']}/cancel")
    problem(anybody.get(video["stream_url"]), 404, "not_found", "id")
    assert api.get(f"/v1/videos/{video['id']}").json()["stream_url"] is None


def test_a_cancelled_video_ends_where_it_was_stopped(
    api: TestClient, anybody: TestClient, store: Store, settings: Settings
) -> None:
    video = order(api, num_frames=32)
    make_chunks(store, settings, 2)
    api.post(f"/v1/videos/{video['id']}/cancel")
    playlist = anybody.get(video["stream_url"])
    assert playlist.text.endswith("#EXT-X-ENDLIST\n") and len(uris(playlist)) == 3


def test_a_refined_video_has_two_renditions_by_one_url(
    api: TestClient, anybody: TestClient, store: Store, settings: Settings
) -> None:
    video = order(api, num_frames=32, refine={"steps": 2})
    make_chunks(store, settings, 1)
    preview, refined = uris(anybody.get(video["stream_url"]))
    assert len(uris(anybody.get(preview))) == 2
    assert uris(anybody.get(refined)) == [] and "ENDLIST" not in anybody.get(refined).text
    assert anybody.get(refined.replace("refined", "other")).status_code == 422


def test_a_segment_that_is_not_there_is_not_found(api: TestClient, anybody: TestClient) -> None:
    url = order(api)["stream_url"].replace("stream.m3u8", "segments/preview/7.m4s")
    problem(anybody.get(url), 404, "not_found")


def test_segments_in_s3_are_a_redirect_that_only_the_segment_request_tells(
    s3_server: S3Server, settings: Settings, tenants: Tenants, store: Store
) -> None:
    there = settings.model_copy(
        update={
            "storage_url": f"s3://{s3.BUCKET}/streams",
            "s3_endpoint_url": s3_server.endpoint,
            "s3_region": s3.REGION,
            "s3_access_key_id": s3.ACCESS_KEY,
            "s3_secret_access_key": s3.SECRET_KEY,
        }
    )
    there = Settings(**there.model_dump())
    _, token = tenants.create_key()
    with TestClient(create_app(there), headers={"Authorization": f"Bearer {token}"}) as api:
        url = order(api)["stream_url"]
        make_chunks(store, there, 1)
        playlist = api.get(url, headers={"Authorization": ""})
        assert urlsplit(s3_server.endpoint).netloc not in playlist.text
        for uri in uris(playlist):
            answer = api.get(uri, headers={"Authorization": ""}, follow_redirects=False)
            assert answer.status_code == 307 and answer.headers["cache-control"] == "no-store"
            assert httpx.get(answer.headers["location"]).content in (b"the init", b"initialize-00000")


def test_a_webhook_carries_the_link(client: redis.Redis, settings: Settings) -> None:
    made = Tickets(client, settings).url("video_x", "https://video.example/")
    assert made.startswith("https://video.example/v1/videos/video_x/stream.m3u8?token=")
