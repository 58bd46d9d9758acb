"""Extended, branched and steered videos, frame by frame: what is shared is shared byte for byte, the rest is new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service import ids, lineage, steering
from service.jobs import Job, JobState, PromptAt, UnitDone
from service.lineage import Heir
from tests.workers.conftest import DrawingShop, make_job
from tests.workers.test_render import frames_of, work
from workers.render import render_next

OTHER = "a blue star moving up on a navy background"
Committed = list[UnitDone]


def finished(shop: DrawingShop, job: Job) -> Job:
    shop.store.submit(job)
    work(shop)
    return shop.store.get(job.tenant, job.id)


def child(shop: DrawingShop, parent: Job, bear: Callable[[Committed], Heir]) -> Job:
    """A child of a video, made to the end."""
    heir = bear(shop.store.committed(parent.id))
    job = Job(
        id=ids.new("video"), tenant=parent.tenant, created_at=0, generation=heir.generation, ancestry=heir.ancestry,
        units_total=0,
    )  # fmt: skip
    job = job.model_copy(update={"units_total": len(job.work())})
    shop.store.submit(job, None, heir.shared)
    work(shop)
    return shop.store.get(parent.tenant, job.id)


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("frames", [32, 36])
def test_an_extended_video_is_the_one_that_a_longer_request_would_have_made(
    shop: DrawingShop, tmp_path: Path, refined: bool, frames: int
) -> None:
    parent = finished(shop, make_job(frames, refined=refined))
    extended = child(shop, parent, lambda done: lineage.extension(parent, done, OTHER, 20))
    schedule = (PromptAt(at_seconds=frames / 8, prompt=OTHER),)
    longer = finished(shop, make_job(frames + 20, refined=refined, prompts=schedule))
    assert frames_of(shop, extended, tmp_path) == frames_of(shop, longer, tmp_path)
    assert extended.units_total < longer.units_total  # what they share is not made again


@pytest.mark.parametrize("refined", [False, True])
def test_a_branch_has_its_parents_frames_up_to_the_fork_and_others_after_it(
    shop: DrawingShop, tmp_path: Path, refined: bool
) -> None:
    parent = finished(shop, make_job(56, refined=refined))
    branched = child(shop, parent, lambda done: lineage.branch(parent, done, 4.2, OTHER, 99, 72))
    track = "preview" if refined else "video"
    theirs, ours = (frames_of(shop, job, tmp_path, track) for job in (parent, branched))
    assert len(ours) == 72 and ours[:32] == theirs[:32]
    assert not set(ours[32:]) & set(theirs[32:])
    keys = [unit.segment.key for unit in shop.store.committed(branched.id) if unit.segment]
    assert {key.split("/")[1] for key in keys} == {parent.id, branched.id}


def test_another_seed_alone_makes_another_branch(shop: DrawingShop, tmp_path: Path) -> None:
    parent = finished(shop, make_job(40))
    branched = child(shop, parent, lambda done: lineage.branch(parent, done, 3, None, 99, 40))
    theirs, ours = (frames_of(shop, job, tmp_path) for job in (parent, branched))
    assert ours[:24] == theirs[:24] and not set(ours[24:]) & set(theirs[24:])


def test_a_child_can_be_made_and_extended_after_its_parent_is_deleted(shop: DrawingShop, tmp_path: Path) -> None:
    parent = finished(shop, make_job(32))
    extended = child(shop, parent, lambda done: lineage.extension(parent, done, OTHER, 8))
    assert not shop.store.delete(parent.tenant, parent.id)
    again = child(shop, extended, lambda done: lineage.extension(extended, done, OTHER, 8))
    assert len(frames_of(shop, again, tmp_path)) == 48


def test_a_prompt_given_in_mid_run_changes_the_frames_after_its_chunk_and_no_other(
    shop: DrawingShop, tmp_path: Path
) -> None:
    plain = finished(shop, make_job(48))
    job, _ = shop.store.submit(make_job(48))
    for _ in range(2):
        render_next(shop)
    seen = shop.store.get(job.tenant, job.id)
    frame = steering.next_chunk(seen).first_frame
    wanted = steering.steer(seen, [PromptAt(at_seconds=frame / 8, prompt=OTHER)])
    assert shop.store.steer(job.tenant, seen, wanted.prompts)
    work(shop)
    before, after = frames_of(shop, plain, tmp_path), frames_of(shop, job, tmp_path)
    assert frame == 24 and after[:24] == before[:24]
    assert not set(after[24:]) & set(before[24:])


def test_a_chunk_that_is_lost_and_made_again_keeps_the_prompt_it_was_begun_with(
    shop: DrawingShop, tmp_path: Path
) -> None:
    plain = finished(shop, make_job(40))
    job, _ = shop.store.submit(make_job(40))
    render_next(shop)
    lost = shop.store.claim_next("a worker that dies")
    assert lost is not None
    seen = shop.store.get(job.tenant, job.id)
    wanted = steering.steer(seen, [PromptAt(at_seconds=3.0, prompt=OTHER)])
    assert shop.store.steer(job.tenant, seen, wanted.prompts)
    shop.store.release(lost)
    work(shop)
    assert shop.store.get(job.tenant, job.id).state is JobState.COMPLETED
    assert frames_of(shop, job, tmp_path)[:24] == frames_of(shop, plain, tmp_path)[:24]


def test_nobody_steers_by_an_outdated_look(shop: DrawingShop) -> None:
    job, _ = shop.store.submit(make_job(48))
    seen = shop.store.get(job.tenant, job.id)
    render_next(shop)
    assert shop.store.steer(job.tenant, seen, [PromptAt(at_seconds=0.0, prompt=OTHER)]) is None
