"""A worker that dies, sleeps or is asked to leave costs one unit at most, and changes no frame."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from service import queue
from service.jobs import Job
from service.settings import Settings
from tests.support.grounds import Crew, Grounds
from tests.support.history import troubles
from tests.support.house import Finished, until
from tests.support.processes import Process
from workers import heartbeat

pytestmark = pytest.mark.processes

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
TTL_S, SWEEP_S = 2.0, 0.5  # as tests.support.house has them
SLACK_S = 2.0  # for two cores that do much else
#: The units of the video: one initialize, two stream, three refine, one finish. Put is called for init (first of a
#: track), segment and state of a unit, and for the files of the last one.
UNITS = 8
BOUNDARIES = [
    "renew:after:1",  # in the middle of the tensors
    "commit:before:2",  # everything is stored, nobody knows
    "commit:after:3",  # everybody knows, it does not
    "claim_next:after:1",  # it has the first unit, and has begun nothing
    "put:after:4",  # a segment is stored, its state is not
    "get:before:1",  # in the finishing
    "put:before:16",  # the joined video is not stored
]
Told = Callable[[str, object], None]  # what `record_property` does
#: How often each of these is called for that video.
CALLS = {"claim_next": UNITS, "commit": UNITS, "put": 17}


@pytest.fixture(scope="module")
def worker(grounds: Grounds) -> Process:
    return grounds.worker("render")


@pytest.fixture
def resting(worker: Process) -> Iterator[Process]:
    worker.pause()
    yield worker
    worker.resume()


@pytest.fixture
def other(grounds: Grounds) -> Iterator[Process]:
    """One more, awake."""
    worker = grounds.standby()
    yield worker
    worker.pause()


@pytest.fixture(scope="module")
def undisturbed(grounds: Grounds, worker: Process) -> Finished:
    return grounds.finished(grounds.submit())


def one(grounds: Grounds, video: str) -> Job:
    return grounds.jobs()[video]


def moment(seed: int) -> str:
    """Where the worker dies: with the first seeds at each boundary, with the others at any call."""
    if seed < len(BOUNDARIES):
        return BOUNDARIES[seed]
    rng = random.Random(seed)
    method = rng.choice(sorted(CALLS))
    return f"{method}:{rng.choice(['before', 'after'])}:{rng.randint(1, CALLS[method])}"


def test_a_worker_that_is_killed_changes_no_frame(
    grounds: Grounds, resting: Process, undisturbed: Finished, seed: int, record_property: Told
) -> None:
    """P4, P7: its unit is made again within the lease and a sweep, and nothing that was committed; no frame differs."""
    doomed = grounds.worker(f"doomed-{seed}", kill_at=moment(seed))
    video = grounds.submit()
    assert doomed.wait(60) == -9
    died, before = time.monotonic(), one(grounds, video)
    resting.resume()
    is_over = before.state.is_terminal
    until(lambda: is_over or one(grounds, video).fence > before.fence, "another worker")
    waited_s = time.monotonic() - died
    assert waited_s < TTL_S + SWEEP_S + SLACK_S
    if before.working:  # it held a unit
        record_property(f"a killed worker's unit is another's (lease {TTL_S:g} s, sweep {SWEEP_S:g} s)", waited_s)
    assert grounds.finished(video).frame_hashes == undisturbed.frame_hashes
    fate = grounds.fates()[video]
    assert list(troubles(video, fate)) == []
    assert len({done.worker_id for done in fate.committed[: before.units_done]}) <= 1  # nobody made those again
    assert one(grounds, video).fence <= UNITS + 1


def test_a_worker_that_was_asleep_changes_nothing_when_it_wakes(
    grounds: Grounds, resting: Process, other: Process, seed: int
) -> None:
    """P5: it sleeps in the middle of a unit, another worker ends the video, and then it goes on with what it had."""
    told = other.log.stat().st_size
    video = grounds.submit(steps=20)
    begun = random.Random(seed).randrange(3)
    until(lambda: one(grounds, video).units_done == begun and one(grounds, video).working, f"unit {begun}")
    other.pause()
    resting.resume()
    frames = grounds.finished(video).frame_hashes
    other.resume()
    lost = lambda: b"unit lost to another worker" in other.log.read_bytes()[told:]  # noqa: E731
    until(lost, "the sleeper's disappointment", 30)
    fate = grounds.fates()[video]
    assert list(troubles(video, fate)) == []
    assert grounds.frames(video) == frames
    tenant = one(grounds, video).tenant
    until(lambda: fences_stored(grounds, tenant, video) <= {done.fence for done in fate.committed}, "the tidying")


def fences_stored(grounds: Grounds, tenant: str, video: str) -> set[int]:
    """The fences under which objects of a video are stored."""
    folder = grounds.folder / "data" / "objects" / tenant / video
    parts = [name.split(".") for name in (path.name for path in folder.rglob("*.f*"))]
    return {int(part[1:]) for name in parts for part in name if part[0] == "f" and part[1:].isdigit()}


def test_a_wake_up_that_comes_twenty_times_is_one_video(grounds: Grounds, worker: Process) -> None:
    """P6."""
    app: Celery = queue.make_celery(Settings(redis_url=grounds.valkey.url))
    video = grounds.submit(num_frames=24, steps=8, refine=False)
    queue.Waker(app).wake(20)
    grounds.finished(video)
    fate = grounds.fates()[video]
    assert [done.unit for done in fate.committed] == list(fate.awaits)
    assert one(grounds, video).fence == len(fate.awaits)  # each was claimed once
    app.close()


def test_a_worker_that_is_asked_to_leave_gives_its_unit_back_at_once(
    grounds: Grounds, resting: Process, other: Process, seed: int, record_property: Told
) -> None:
    """P15."""
    video = grounds.submit(num_frames=40, steps=20, refine=False)
    begun = random.Random(seed).randrange(3)
    until(lambda: one(grounds, video).units_done == begun and one(grounds, video).working, f"unit {begun}")
    assert other.stop() == 0
    before = one(grounds, video)
    assert not before.working and not before.state.is_terminal
    resting.resume()
    asked = time.monotonic()
    until(lambda: one(grounds, video).working, "another worker")
    waited_s = time.monotonic() - asked
    assert waited_s < 1 + SLACK_S
    record_property("a unit that was given back is another's", waited_s)
    assert len(grounds.finished(video).frame_hashes) == 40


@pytest.mark.long
def test_a_worker_that_is_killed_with_several_units_at_work_loses_none(grounds: Grounds, resting: Process) -> None:
    """P4, where chunks of several videos are one batch: each is made again, from the state that it had."""
    videos = [grounds.submit(steps=steps) for steps in (10, 14)]
    with Crew(grounds, 1, LONGTAKE_UNITS_AT_ONCE="2") as crew:
        until(lambda: all(one(grounds, video).working for video in videos), "units of both videos", 60)
        crew.kill_one(random.Random(1))
        finished = [grounds.finished(video) for video in videos]
    assert [len(video.frame_hashes) for video in finished] == [
        one(grounds, video).generation.num_frames for video in videos
    ]
    for video in videos:
        assert list(troubles(video, grounds.fates()[video])) == []


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed (Debian: faketime)")
def test_a_worker_whose_clock_is_an_hour_ahead_loses_no_lease(grounds: Grounds, resting: Process) -> None:
    """P18: leases are told by the store's clock. It works alone and has time, so that only its clock could lose one."""
    lost = grounds.figure("api", "longtake_leases_expired_total")
    clock = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+1h"}
    ahead = grounds.worker("ahead", **clock, LONGTAKE_LEASE_TTL_S="60")
    name = str((heartbeat.read(grounds.folder / "ahead.json") or {})["worker"])
    video = grounds.submit(steps=10)
    assert grounds.ended(video)["status"] == "completed"
    assert ahead.stop() == 0
    assert grounds.figure("api", "longtake_leases_expired_total") == lost
    assert one(grounds, video).fence == UNITS
    assert {done.worker_id for done in grounds.fates()[video].committed} == {name}


@pytest.mark.long
def test_a_video_that_kills_its_workers_fails_alone(grounds: Grounds, resting: Process) -> None:
    """P10."""
    poison, others = "a green star moving up on a grey background", []
    with Crew(grounds, 2, LONGTAKE_TEST_POISON="green star"):
        others.append(grounds.submit(refine=False))
        deadly = grounds.submit(prompt=poison, refine=False)
        others.append(grounds.submit(refine=False))
        failed = grounds.ended(deadly, 200)
        assert all(grounds.ended(video)["status"] == "completed" for video in others)
    assert failed["error"]["code"] == "worker_lost"
    assert (failed["status"], one(grounds, deadly).units_done) == ("failed", 0)


def test_a_worker_that_has_lost_its_gpu_fails_no_video_that_another_can_make(grounds: Grounds, other: Process) -> None:
    """It fails in a moment what takes the other some time, and so is the first at whatever waits."""
    lost = grounds.worker("lost", LONGTAKE_TEST_LOSES="every")
    videos = [grounds.submit(seed=seed) for seed in range(6)]
    assert [grounds.ended(video)["status"] for video in videos] == ["completed"] * 6
    said = lost.log.read_text()
    assert said.count("unit went wrong") >= 2 and "this worker rests" in said and "begins anew" in said
    assert lost.stop() == 0


def test_a_worker_whose_process_has_lost_the_gpu_finds_it_again_by_another(grounds: Grounds, resting: Process) -> None:
    """Alone, and before the attempts of a unit are used up."""
    lost = grounds.worker("found", LONGTAKE_TEST_LOSES="first")
    assert grounds.ended(grounds.submit())["status"] == "completed"
    assert lost.log.read_text().count("begins anew") == 1
    assert lost.stop() == 0


def test_a_unit_that_stands_still_is_made_by_another_process(grounds: Grounds, resting: Process) -> None:
    """Its lease is renewed while it stands: only the end of its process gives it free."""
    stuck = grounds.worker("stuck", LONGTAKE_TEST_HANGS="first", LONGTAKE_STALL_S="3")
    video = grounds.submit()
    until(lambda: one(grounds, video).working, "its first unit")
    time.sleep(TTL_S + SWEEP_S)
    assert one(grounds, video).fence == 1  # nobody has taken it yet
    assert grounds.ended(video)["status"] == "completed"
    said = stuck.log.read_text()
    assert said.count("begins anew: nothing moves") == 1 and "in hang" in said
    assert stuck.stop() == 0


def test_a_worker_that_cannot_load_its_model_takes_no_unit(grounds: Grounds, resting: Process) -> None:
    broken = grounds.run("broken", "workers", "render", LONGTAKE_PRELOAD="nowhere")
    until(lambda: grounds.beat("broken") == "broken", "what it says")
    videos = [grounds.submit(num_frames=16, refine=False) for _ in range(3)]
    time.sleep(4 * SWEEP_S)
    assert all(one(grounds, video).fence == 0 for video in videos)
    resting.resume()
    assert [grounds.ended(video)["status"] for video in videos] == ["completed"] * 3
    assert grounds.figure("broken", "longtake_worker_ready") == 0
    assert broken.stop() == 0
