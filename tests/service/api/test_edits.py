"""A finished video can be changed as an instruction says; what it shows stays where it is as long as that needs it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from fastapi.testclient import TestClient

from service.jobs import ClipRef
from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import order, problem
from tests.service.conftest import complete

EDITOR = "tiny-instruct-pix2pix"


@pytest.fixture
def parent(api: TestClient, store: Store) -> str:
    video = order(api, num_frames=24, interpolate=2)["id"]
    complete(store)
    return video


def edited(api: TestClient, video: str, **body: object):  # type: ignore[no-untyped-def]
    return api.post("/v1/videos/edits", json={"video": {"id": video}, "prompt": "Make it blue!", **body})


def test_an_edit_is_as_long_and_as_fast_as_the_finished_video(
    api: TestClient, store: Store, tenants: Tenants, parent: str
) -> None:
    answer = edited(api, parent, seed=3, steps=12, guidance_scale=5, clip_guidance_scale=1.25)
    video = answer.json()
    assert answer.status_code == 202 and (video["model"], video["size"], video["fps"]) == (EDITOR, "128x128", 16)
    assert video["output"] == {"size": "128x128", "fps": 16, "frames": 47}
    assert video["ancestry"] == {"kind": "edit", "video": parent, "at_seconds": 0.0}
    made = store.get(tenants.keys()[0].tenant, video["id"]).generation
    assert (made.seed, made.steps, made.guidance_scale, made.anchor_guidance_scale) == (3, 12, 5.0, 1.25)
    clip = store.get(tenants.keys()[0].tenant, parent).artefacts["video"]
    assert made.clip == ClipRef(key=clip, frames=47) and made.image is None and made.refine is None


def test_the_changed_video_stays_as_long_as_the_edit(
    api: TestClient, store: Store, tenants: Tenants, parent: str, client: redis.Redis
) -> None:
    tenant = tenants.keys()[0].tenant
    key = store.get(tenant, parent).artefacts["video"]
    assert key.split("/")[1] == parent
    child = edited(api, parent).json()["id"]
    api.delete(f"/v1/videos/{parent}")
    assert store.discarded() == []
    api.delete(f"/v1/videos/{child}")
    assert store.discarded() == [(tenant, child)]
    store.erased(tenant, child)
    assert store.discarded() == [(tenant, parent)]


def test_what_cannot_be_changed_is_refused(api: TestClient, stranger: TestClient, store: Store, parent: str) -> None:
    problem(edited(api, parent, prompt="make it purple"), 422, "prompt_not_understood", "prompt")
    said = problem(edited(api, parent, model="tiny-shapes"), 422, "unknown_model", "model")
    assert "tiny-shapes changes no videos; there is tiny-instruct-pix2pix, tiny-controlnet-canny." in said
    problem(edited(api, parent, steps=1), 422, "out_of_range", "steps")
    problem(edited(api, parent, clip_guidance_scale=11), 422, "out_of_range", "clip_guidance_scale")
    problem(edited(api, parent, seconds=2), 422, "unknown_field", "seconds")
    problem(edited(stranger, parent), 404, "not_found", "id")
    problem(edited(api, order(api)["id"]), 409, "not_ready", "video.id")
    said = problem(
        api.post("/v1/videos", json={"prompt": "make it blue", "model": EDITOR}), 422, "clip_needed", "model"
    )
    assert "/v1/videos/edits" in said


def test_a_prompt_along_the_edges_is_read_as_a_caption_and_not_as_an_instruction(
    api: TestClient, store: Store, tenants: Tenants, parent: str
) -> None:
    said = {"model": "tiny-controlnet-canny", "prompt": "a green star on a grey background"}
    video = edited(api, parent, **said, clip_guidance_scale=0.5).json()
    assert (video["model"], video["size"], video["output"]["frames"]) == ("tiny-controlnet-canny", "128x128", 47)
    made = store.get(tenants.keys()[0].tenant, video["id"]).generation
    assert (made.steps, made.guidance_scale, made.anchor_guidance_scale) == (20, 3.0, 0.5)
    problem(edited(api, parent, **said, clip_guidance_scale=2.5), 422, "out_of_range", "clip_guidance_scale")
    problem(edited(api, parent, model="tiny-controlnet-canny", prompt="hm"), 422, "prompt_not_understood", "prompt")


def test_an_edit_cannot_outlast_its_clip(api: TestClient, store: Store, parent: str) -> None:
    child = edited(api, parent).json()["id"]
    complete(store)
    body = {"video": {"id": child}, "prompt": "make it red", "seconds": "1"}
    problem(api.post("/v1/videos/extensions", json=body), 422, "too_long", "seconds")
    assert api.post(f"/v1/videos/{child}/remix", json={"prompt": "make it red"}).status_code == 202


def test_without_an_editor_that_is_said(
    api: TestClient, store: Store, parent: str, withdraw: Callable[[str], object]
) -> None:
    for name in (EDITOR, "tiny-controlnet-canny"):
        withdraw(name)
    assert "No model here changes" in problem(edited(api, parent), 422, "unknown_model", "model")
