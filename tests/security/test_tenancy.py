"""Cross-tenant access: nothing of a tenant can be seen or touched by another, on any route, also on one that is new.

The routes are those of the app, their bodies are made from its description. What the owner is refused as nonsense
proves nothing about strangers, so every request is made as the owner too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.jobs import Segment
from service.objects import key, open_objects
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import order, problem
from tests.service.conftest import done
from tests.support.calls import PROMPT, body_of, filled, routes

UNKNOWN = {"video": "video_" + "0" * 26, "delivery": "evt_" + "0" * 26}
NONSENSE = {401, 403, 404, 405, 415, 422}


@dataclass(frozen=True)
class Property:
    """What a tenant has: a finished video whose files are there, a queued one, and a webhook row."""

    tenant: str
    finished: str
    queued: str
    delivery: str
    secret: str

    @property
    def words(self) -> tuple[str, ...]:
        """What no stranger may read."""
        return (self.tenant, self.finished, self.queued, self.delivery, self.secret, "of-the-owner")


@pytest.fixture
def tenant(api: TestClient, tenants: Tenants) -> str:
    return tenants.keys()[0].tenant


def settle(api: TestClient, store: Store, settings: Settings, tenant: str) -> Property:
    """Everything anew, since some routes take it away."""
    objects = open_objects(settings)
    hook = {"url": "https://example.com/of-the-owner"}
    video = order(api, metadata={"whose": "of-the-owner"}, webhook=hook)["id"]
    init, part, whole = (key(tenant, video, *names) for names in (("init.mp4",), ("0.f1.m4s",), ("video.f2.mp4",)))
    for name in (init, part, whole):
        objects.put(name, b"of-the-owner", "video/mp4")
    for artefacts in ({}, {"video": whole}):
        claim = store.claim_next("w")
        assert claim is not None and claim.job.id == video
        report = done(claim, artefacts=artefacts)
        if isinstance(report.segment, Segment):
            place = {"key": part, "init_key": init, "bytes": 12}
            report = report.model_copy(update={"segment": report.segment.model_copy(update=place)})
        store.commit(claim, report)
    row = api.get("/v1/webhooks/deliveries").json()["data"][0]["id"]
    queued = order(api, metadata={"whose": "of-the-owner"})["id"]
    return Property(tenant, video, queued, row, api.get("/v1/webhooks/secret").json()["secret"])


def test_on_no_route_a_stranger_sees_or_touches_anything(
    api: TestClient, stranger: TestClient, store: Store, settings: Settings, tenant: str
) -> None:
    app, document = api.app, api.get("/openapi.json").json()
    assert isinstance(app, FastAPI)
    every = list(routes(app))
    described = {(m.upper(), p) for p, ms in document["paths"].items() if p.startswith("/v1/") for m in ms}
    assert described <= {(method, re.sub(r":\w+}", "}", path)) for method, path in every} and len(every) >= 20
    gated = 0
    for method, path in every:
        mine = settle(api, store, settings, tenant)
        before = [api.get(f"/v1/videos/{video}").json() for video in (mine.finished, mine.queued)]
        for video in (mine.finished, mine.queued):
            body, nobodys = (body_of(document, method, path, v) for v in (video, UNKNOWN["video"]))
            here, nowhere = filled(path, video, mine.delivery), filled(path, UNKNOWN["video"], UNKNOWN["delivery"])
            cursor = {} if "{" in path else {"after": video}  # a page after what is another's
            answer = stranger.request(method, here, json=body, params=cursor)
            if (here, body) != (nowhere, nobodys):
                gated += 1
                assert answer.status_code == 404, (method, path, answer.text)
                none = stranger.request(method, nowhere, json=nobodys, params=cursor)
                said = refused(method, answer)
                for owned, unknown in ((video, UNKNOWN["video"]), (mine.delivery, UNKNOWN["delivery"])):
                    said = said.replace(owned, unknown)
                assert said == refused(method, none), (method, path)
            else:
                assert answer.status_code < 500, (method, path, answer.text)
                found = [word for word in mine.words if word in answer.text + str(answer.headers)]
                assert not found, (method, path, answer.text)
        after = [api.get(f"/v1/videos/{video}").json() for video in (mine.finished, mine.queued)]
        assert without_clock(after) == without_clock(before), (method, path)
        assert api.get("/v1/webhooks/secret").json()["secret"] == mine.secret, (method, path)
        own = api.request(
            method,
            filled(path, mine.finished, mine.delivery),
            json=body_of(document, method, path, mine.finished),
        )
        assert own.status_code not in NONSENSE, (method, path, own.text)
        for client in (api, stranger):
            for made in client.get("/v1/videos").json()["data"]:
                client.delete(f"/v1/videos/{made['id']}")
    assert gated >= 24, "most routes name something"


def refused(method: str, answer: httpx.Response) -> str:
    """What is said of a refusal; of one without a body, how long it would be."""
    if method == "HEAD":
        assert not answer.content
        return answer.headers["content-length"]
    return problem(answer, 404, "not_found", answer.json()["field"])


def without_clock(videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Videos less what changes by itself."""
    return [{k: v for k, v in video.items() if k not in ("eta_s", "queue_position", "stream_url")} for video in videos]


def test_one_key_for_two_tenants_is_two_keys(api: TestClient, stranger: TestClient) -> None:
    """An Idempotency-Key is its tenant's own."""
    body = {"prompt": PROMPT, "num_frames": 16, "refine": False, "seed": 1}
    first, second = (
        client.post("/v1/videos", json=body, headers={"Idempotency-Key": "same"}) for client in (api, stranger)
    )
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"] and "idempotency-replayed" not in second.headers
