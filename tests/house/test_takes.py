"""Steered, extended and branched over HTTP, by a real worker: what is shared is the same to the frame, the rest new."""

from __future__ import annotations

import pytest

from tests.support.house import House, until
from tests.support.processes import Process

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]
OTHER = "a blue star moving up on a navy background"


@pytest.mark.parametrize("refine", [False, {"steps": 2}])
def test_an_extension_is_what_a_longer_request_would_have_made(house: House, refine: object) -> None:
    parent = house.finished(house.submit(num_frames=32, refine=refine)).video
    more = {"video": {"id": parent["id"]}, "prompt": OTHER, "seconds": "2"}
    answer = house.http.post("/v1/videos/extensions", json=more)
    assert answer.status_code == 202, answer.text
    extended = house.finished(answer.json()["id"])
    schedule = [{"at_seconds": 4, "prompt": OTHER}]
    longer = house.finished(house.submit(num_frames=48, refine=refine, prompts=schedule))
    assert len(extended.frame_hashes) == 48
    assert extended.frame_hashes == longer.frame_hashes


def test_a_branch_shares_its_parents_frames_and_no_other(house: House) -> None:
    parent = house.finished(house.submit(num_frames=48, refine=False))
    fork = {"at_seconds": 4, "prompt": OTHER, "seconds": "6"}
    answer = house.http.post(f"/v1/videos/{parent.video['id']}/branch", json=fork)
    assert answer.status_code == 202, answer.text
    branched = house.finished(answer.json()["id"])
    assert branched.video["ancestry"] == {"kind": "branch", "video": parent.video["id"], "at_seconds": 4.0}
    ours, theirs = branched.frame_hashes, parent.frame_hashes
    assert ours[:32] == theirs[:32]
    assert not any(here == there for here, there in zip(ours[32:], theirs[32:], strict=True))


def test_a_prompt_given_in_mid_run_changes_the_frames_after_its_chunk_and_no_other(
    house: House, resting: Process
) -> None:
    undisturbed, steered = (house.submit(num_frames=64, steps=8, refine=False) for _ in range(2))
    resting.resume()
    until(lambda: house.video(steered)["frames"] >= 24, "two chunks")
    answer = house.http.patch(f"/v1/videos/{steered}", json={"prompt": OTHER}).raise_for_status().json()
    (given,) = answer["prompts"]
    first = round(given["at_seconds"] * 8)
    assert 24 <= first < 64 and first % 8 == 0
    ours, theirs = house.finished(steered).frame_hashes, house.finished(undisturbed).frame_hashes
    assert ours[:first] == theirs[:first]
    assert not any(here == there for here, there in zip(ours[first:], theirs[first:], strict=True))
    late = house.http.patch(f"/v1/videos/{steered}", json={"prompt": OTHER})
    assert late.status_code == 409
