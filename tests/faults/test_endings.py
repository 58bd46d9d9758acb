"""A video ends once: whoever ends it, and however often it is asked to."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest

from service.database import connect
from service.errors import StaleFence
from service.jobs import JobState
from service.keys import key
from service.settings import Settings
from service.store import Store
from tests.service.conftest import done, make_job
from tests.support.grounds import Grounds
from tests.support.history import troubles
from tests.support.house import until
from tests.support.processes import Process

RACES = 300


def test_a_cancellation_and_a_commit_end_a_video_once(redis_url: str, seed: int) -> None:
    """P8: both at the same moment, on connections of their own."""
    rng, settings = random.Random(seed), Settings(redis_url=redis_url)
    client = connect(settings)
    store, other = Store(client, settings), Store(connect(settings), settings)
    meet, ends = Barrier(2), {JobState.COMPLETED: 0, JobState.CANCELLED: 0}

    def cancel(job_id: str, pause: float) -> None:
        meet.wait()
        sum(range(int(pause)))
        other.cancel("tenant_A", job_id)

    with ThreadPoolExecutor(1) as pool:
        for _ in range(RACES):
            job, _ = store.submit(make_job(num_frames=24))
            last = rng.choice([job.units_total - 1, rng.randrange(job.units_total)])
            while (claim := store.claim_next("w")) and claim.position < last:
                store.commit(claim, done(claim))
            assert claim is not None
            racing = pool.submit(cancel, job.id, rng.choice([0, 0, 20_000, 60_000]))
            meet.wait()
            sum(range(rng.choice([0, 0, 20_000, 60_000])))
            with suppress(StaleFence):
                store.commit(claim, done(claim))
            racing.result()
            ended = store.get("tenant_A", job.id)
            ends[ended.state] += 1
            told = [fields["type"] for _, fields in client.xrange(key("events", job.id))]  # type: ignore[union-attr]
            assert [kind for kind in told if kind in ("video.completed", "video.cancelled")] == [f"video.{ended.state}"]
    assert sum(ends.values()) == RACES and all(ends.values())


@pytest.fixture(scope="module")
def worker(grounds: Grounds) -> Process:
    return grounds.worker("render")


@pytest.mark.processes
def test_a_cancelled_video_costs_one_chunk_more_at_most(grounds: Grounds, worker: Process, seed: int) -> None:
    """P9: while it waits, while it is made, three times at once, and when it is done."""
    rng = random.Random(seed)
    finished = grounds.submit(num_frames=1, steps=1, refine=False)
    assert grounds.ended(finished)["status"] == "completed"
    running = grounds.submit(num_frames=160, steps=10, refine=False)
    waiting = grounds.submit(num_frames=160, steps=10, refine=False, priority=0)
    begun = rng.randrange(1, 4)
    until(lambda: grounds.jobs()[running].units_done >= begun, f"unit {begun}")
    made = grounds.jobs()[running].units_done
    for video in (running, waiting, finished):
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda path: grounds.http.post(path), [f"/v1/videos/{video}/cancel"] * 3))
        assert {answer.status_code for answer in answers} == {200}
    ends = {video: grounds.ended(video, 20)["status"] for video in (running, waiting, finished)}
    assert ends == {running: "cancelled", waiting: "cancelled", finished: "completed"}
    assert grounds.jobs()[running].units_done <= made + 1
    fates = grounds.fates()
    assert [wrong for video in ends for wrong in troubles(video, fates[video])] == []
