"""Estimates that hold: judged against a clock that is only counted."""

from __future__ import annotations

import pytest

from service import estimates
from service.jobs import Claim, Job, Refine
from service.store import Store
from tests.service.conftest import done, make_job


def refined_job(num_frames: int = 200, tenant: str = "tenant_A") -> Job:
    return make_job(tenant, num_frames, Refine(steps=4, strength=0.5, bands=2))


def takes_s(claim: Claim) -> float:
    """What a unit takes in this world: 2 s a chunk, 1 s a look at a window, 3 s the finishing."""
    unit = claim.job.plan[claim.position]
    if unit.stage != "refine":
        return {"initialize": 2.0, "stream": 2.0, "finish": 3.0}[unit.stage]
    return float(estimates._loads(claim.job)[unit.index])


def test_the_eta_of_a_refined_video_holds_from_its_first_look_on(store: Store) -> None:
    store.submit(refined_job())
    clock, told = 0.0, list[tuple[float, float]]()
    while claim := store.claim_next("w"):
        seconds = takes_s(claim)
        clock += seconds
        job = store.commit(claim, done(claim, seconds=seconds))
        eta = estimates.eta_s(job, {("tiny-shapes", "finish"): 3.0, ("tiny-shapes", "refine"): 3.0})
        if eta is not None:
            told.append((clock, eta))
    begun = 3  # the first chunk, one more, and a look at the window that they fill
    for at, eta in told[begun:]:
        assert eta == pytest.approx(clock - at, abs=0.2)
    assert store.pace()[("tiny-shapes", "finish")] == 3.0


def test_a_video_of_more_steps_than_others_is_told_by_its_own_pace(store: Store) -> None:
    store.submit(make_job(num_frames=160))
    others = {("tiny-shapes", stage): 0.5 for stage in ("initialize", "stream", "finish")}
    for _ in range(3):
        claim = store.claim_next("w")
        assert claim is not None
        job = store.commit(claim, done(claim, seconds=5.0))
    assert estimates.eta_s(job, others) == pytest.approx(16 * 5.0 + 0.5)


def test_steps_that_are_done_are_not_counted_again(store: Store) -> None:
    store.submit(make_job(num_frames=16))
    claim = store.claim_next("w")
    assert claim is not None
    pace = {("tiny-shapes", "initialize"): 10.0, ("tiny-shapes", "finish"): 1.0}
    assert estimates.eta_s(claim.job, pace) == 11.0
    store.renew(claim, 3, 4)
    assert estimates.eta_s(store.get("tenant_A", claim.job.id), pace) == 3.5


@pytest.mark.parametrize(("workers", "mine", "theirs", "crowd"), [
    (1, 1, 0, 1), (1, 3, 0, 3), (3, 3, 0, 1), (4, 1, 0, 1), (1, 1, 1, 2), (2, 1, 1, 1), (1, 2, 5, 4), (2, 4, 4, 4),
])  # fmt: skip
def test_videos_that_take_turns_are_counted(store: Store, workers: int, mine: int, theirs: int, crowd: float) -> None:
    """In units of my video that are done when each worker has done many."""
    mine_id = [store.submit(make_job("tenant_A", num_frames=4000))[0].id for _ in range(mine)][0]
    for _ in range(theirs):
        store.submit(make_job("tenant_B", num_frames=4000))
    rounds = 24
    for _ in range(rounds):
        claims = [claim for n in range(workers) if (claim := store.claim_next(f"w{n}"))]
        assert store.crowd("tenant_A") == pytest.approx(crowd, rel=0.51)
        for claim in claims:
            store.commit(claim, done(claim))
    made = store.get("tenant_A", mine_id).units_done
    assert rounds / made == pytest.approx(crowd, rel=0.35)


@pytest.mark.parametrize(
    ("seconds", "crowd", "told_ms"), [(0.01, 1, 250), (1.5, 1, 1500), (1.5, 2, 3000), (60, 1, 5000)]
)
def test_a_client_is_told_to_look_again_when_there_is_something_new(seconds: float, crowd: float, told_ms: int) -> None:
    assert estimates.poll_after_ms(make_job(), {("tiny-shapes", "initialize"): seconds}, crowd, 1000) == told_ms
    assert estimates.poll_after_ms(make_job(), {}, crowd, 1000) == 1000
