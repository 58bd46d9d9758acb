"""Videos made from videos, and steering: what is shared, what is refused, and when a prompt takes effect."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import PROMPT, order, problem
from tests.service.conftest import done, finish

OTHER = "a blue star moving up on a navy background"


def make(store: Store, units: int) -> None:
    for _ in range(units):
        claim = store.claim_next("w")
        assert claim is not None
        store.commit(claim, done(claim))


def extension(api: TestClient, video: str, seconds: object = "2", prompt: str = OTHER):  # type: ignore[no-untyped-def]
    return api.post("/v1/videos/extensions", json={"video": {"id": video}, "prompt": prompt, "seconds": seconds})


def committed(store: Store, video: str) -> list[str]:
    return [unit.unit for unit in store.committed(video)]


def test_an_extension_goes_on_where_its_parent_ended(api: TestClient, store: Store) -> None:
    parent = order(api, num_frames=32, seed=5)
    finish(store)
    child = extension(api, parent["id"]).json()
    assert (child["seconds"], child["seed"], child["frames"]) == ("6", 5, 32)
    assert child["ancestry"] == {"kind": "extension", "video": parent["id"], "at_seconds": 4.0}
    assert child["prompts"] == [{"at_seconds": 4.0, "prompt": OTHER}]
    assert child["chunks"] == {"done": 3, "total": 5}
    claim = store.claim_next("w")
    assert claim and claim.job.work()[0].key == "stream-00003"
    assert committed(store, child["id"]) == ["initialize-00000", "stream-00001", "stream-00002"]
    store.commit(claim, done(claim))
    finish(store)
    assert api.get(f"/v1/videos/{child['id']}").json()["status"] == "completed"


def test_a_chunk_that_the_end_had_cut_off_is_made_again_as_a_whole(api: TestClient, store: Store) -> None:
    parent = order(api, num_frames=20)
    finish(store)
    child = extension(api, parent["id"]).json()
    assert child["chunks"] == {"done": 1, "total": 4} and child["seconds"] == "4.5"
    assert committed(store, child["id"]) == ["initialize-00000"]


def test_a_stopped_video_can_be_extended_and_a_running_one_not_yet(api: TestClient, store: Store) -> None:
    parent = order(api, num_frames=80)
    problem(extension(api, parent["id"]), 409, "not_ready", "video.id")
    make(store, 3)
    api.post(f"/v1/videos/{parent['id']}/cancel")
    child = extension(api, parent["id"]).json()
    assert child["seconds"] == "6" and child["chunks"]["done"] == 3


def test_an_extension_is_refused_in_words(api: TestClient, stranger: TestClient, store: Store) -> None:
    parent = order(api, num_frames=16)
    finish(store)
    problem(extension(stranger, parent["id"]), 404, "not_found", "id")
    problem(extension(api, parent["id"], seconds="900"), 422, "too_long", "seconds")
    problem(extension(api, parent["id"], seconds="soon"), 422, "invalid_value", "seconds")
    problem(extension(api, parent["id"], prompt="quarterly figures"), 422, "prompt_not_understood", "prompt")
    api.delete(f"/v1/videos/{parent['id']}")
    problem(extension(api, parent["id"]), 404, "not_found", "id")


def test_a_branch_leaves_its_parent_at_the_chunk_before(api: TestClient, store: Store) -> None:
    parent = order(api, num_frames=48, seed=5)
    make(store, 4)
    branch = f"/v1/videos/{parent['id']}/branch"
    child = api.post(branch, json={"at_seconds": 3.9, "prompt": OTHER, "seed": 9}).json()
    assert child["ancestry"] == {"kind": "branch", "video": parent["id"], "at_seconds": 3.0}
    assert child["prompts"] == [{"at_seconds": 3.0, "prompt": OTHER}] and child["seconds"] == "6"
    assert committed(store, child["id"]) == ["initialize-00000", "stream-00001"]
    problem(api.post(branch, json={"at_seconds": 6, "seed": 9}), 409, "not_ready", "at_seconds")
    problem(api.post(branch, json={"at_seconds": 3}), 422, "missing_field", "prompt")
    problem(api.post(branch, json={"at_seconds": 3, "seed": 1, "seconds": "3"}), 422, "too_short", "seconds")


def test_a_branchs_seed_begins_where_it_leaves(api: TestClient, store: Store, tenants: Tenants) -> None:
    parent = order(api, num_frames=48, seed=5)
    make(store, 4)
    child = api.post(f"/v1/videos/{parent['id']}/branch", json={"at_seconds": 3, "seed": 9}).json()
    made = store.get(tenants.keys()[0].tenant, child["id"]).generation
    assert made.seed == 5 and [(at.at_frame, at.seed) for at in made.seeds] == [(24, 9)]


def test_a_refined_branch_shares_the_tiles_that_see_nothing_of_it(api: TestClient, store: Store) -> None:
    parent = order(api, num_frames=56, refine={"steps": 2})
    finish(store)
    child = api.post(f"/v1/videos/{parent['id']}/branch", json={"at_seconds": 5, "seed": 9}).json()
    shared = committed(store, child["id"])
    assert [unit for unit in shared if unit.startswith("refine")] == [f"refine-0000{tile}" for tile in range(3)]
    finish(store)
    assert api.get(f"/v1/videos/{child['id']}").json()["status"] == "completed"


def test_a_remix_is_the_same_take_of_other_words(api: TestClient) -> None:
    parent = order(api, num_frames=40, seed=5)
    child = api.post(f"/v1/videos/{parent['id']}/remix", json={"prompt": OTHER}).json()
    assert (child["seed"], child["seconds"], child["prompt"]) == (5, "5", OTHER)
    assert child["remixed_from_video_id"] == parent["id"] and child["chunks"]["done"] == 0


def test_objects_stay_while_another_video_plays_them(api: TestClient, store: Store, tenants: Tenants) -> None:
    tenant = tenants.keys()[0].tenant

    def of_parent(claim):  # type: ignore[no-untyped-def]
        segment = done(claim).segment
        place = f"{tenant}/{claim.job.id}/states/{claim.position}"
        return done(claim, state_key=place, segment=segment and segment.model_copy(update={"key": place + ".m4s"}))

    parent = order(api, num_frames=24)["id"]
    while claim := store.claim_next("w"):
        store.commit(claim, of_parent(claim))
    child = extension(api, parent).json()["id"]
    api.delete(f"/v1/videos/{parent}")
    assert store.discarded() == []
    api.delete(f"/v1/videos/{child}")
    assert store.discarded() == [(tenant, child)]
    store.erased(tenant, child)
    assert store.discarded() == [(tenant, parent)]


def test_a_repeated_extension_is_one_video(api: TestClient, store: Store) -> None:
    parent = order(api, num_frames=16)
    finish(store)
    headers = {"Idempotency-Key": "once"}
    body = {"video": {"id": parent["id"]}, "prompt": OTHER, "seconds": "1"}
    first, again = (api.post("/v1/videos/extensions", json=body, headers=headers) for _ in range(2))
    assert first.json()["id"] == again.json()["id"] and again.headers["idempotency-replayed"] == "true"


def test_steering_takes_effect_at_the_first_chunk_that_nobody_has_begun(api: TestClient, store: Store) -> None:
    video = order(api, num_frames=48)["id"]
    make(store, 2)
    claim = store.claim_next("w")  # chunk 2, frames 24 to 32, is in work
    assert claim is not None
    steered = api.patch(f"/v1/videos/{video}", json={"prompt": OTHER}).json()
    assert steered["takes_effect"] == {"chunk": 3, "at_seconds": 4.0}
    assert steered["prompts"] == [{"at_seconds": 4.0, "prompt": OTHER}]
    store.commit(claim, done(claim))
    again = store.claim_next("w")
    assert again and again.job.generation.prompts[0].prompt == OTHER


def test_a_schedule_replaces_what_was_to_come_and_keeps_what_was(api: TestClient, store: Store) -> None:
    old = [{"at_seconds": 1.0, "prompt": OTHER}, {"at_seconds": 5.0, "prompt": OTHER}]
    video = order(api, num_frames=64, prompts=old)["id"]
    make(store, 2)
    new = [{"at_seconds": 4.5, "prompt": PROMPT}, {"at_seconds": 6.0, "prompt": OTHER}]
    steered = api.patch(f"/v1/videos/{video}", json={"prompts": new}).json()
    assert steered["prompts"] == [old[0], *new]
    assert steered["takes_effect"] == {"chunk": 4, "at_seconds": 5.0}


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"prompts": [{"at_seconds": 1.0, "prompt": OTHER}]}, 409, "already_made", "prompts[0].at_seconds"),
        ({"prompts": [{"at_seconds": 60.0, "prompt": OTHER}]}, 409, "already_made", "prompts[0].at_seconds"),
        ({"prompts": [{"at_seconds": t, "prompt": OTHER} for t in (5, 4)]}, 422, "invalid_value", "prompts"),
        ({"prompt": "quarterly figures"}, 422, "prompt_not_understood", "prompt"),
        ({}, 422, "missing_field", "prompt"),
    ],
)
def test_what_cannot_be_steered_is_said(  # type: ignore[no-untyped-def]
    api: TestClient, store: Store, body, status: int, code: str, field: str
) -> None:
    video = order(api, num_frames=48)["id"]
    make(store, 2)
    problem(api.patch(f"/v1/videos/{video}", json=body), status, code, field)


def test_a_video_that_is_made_cannot_be_steered(api: TestClient, store: Store) -> None:
    video = order(api, num_frames=16)["id"]
    finish(store)
    problem(api.patch(f"/v1/videos/{video}", json={"prompt": OTHER}), 409, "already_made", "id")
