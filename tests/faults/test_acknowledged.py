"""What was acknowledged is done, once, and exactly so: whoever is killed meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.grounds import Crew, Grounds
from tests.support.history import History, check
from tests.support.house import PROMPT

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1800)]

#: What is ordered: short videos of few steps, each many times.
KINDS: tuple[dict[str, Any], ...] = (
    {"num_frames": 16, "seed": 1},
    {"num_frames": 24, "seed": 2},
    {"num_frames": 17, "seed": 3, "refine": {"steps": 1}},
    {"num_frames": 1, "seed": 4},
)
COMMON = {"prompt": PROMPT, "steps": 1, "refine": False}
KILLS = 5  # of the store, and as many of workers


@pytest.fixture(scope="module")
def twins(grounds: Grounds) -> list[list[str]]:
    """The frames of each kind where nothing was disturbed."""
    with Crew(grounds, 1):
        return [grounds.finished(grounds.submit(**COMMON | kind)).frame_hashes for kind in KINDS]


def test_every_acknowledged_video_is_made_frame_by_frame_whoever_is_killed(
    grounds: Grounds, twins: list[list[str]], seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """P1, P7: videos are ordered while the store is killed and begun again, and workers are killed."""
    rng, count = random.Random(seed), request.config.getoption("--jobs")
    history, before = History(tmp_path / f"history-{seed}.jsonl"), set(grounds.jobs())
    kinds = [rng.randrange(len(KINDS)) for _ in range(count)]

    def progress() -> float:
        """0 before the first order, 1 when every video has ended."""
        return (len(history.acknowledged) + grounds.ends() - len(before)) / (2 * count)

    with Crew(grounds, 2) as crew, disturbed(grounds, crew, rng, progress) as kills:
        for number, kind in enumerate(kinds):
            key = f"order-{seed}-{number}"
            send = partial(grounds.http.post, "/v1/videos", json=COMMON | KINDS[kind], headers={"Idempotency-Key": key})
            history.submit(send, key)
            time.sleep(rng.uniform(0, 0.3))
        grounds.all_ended(60 + 10 * count)
    assert kills == [True] * 2 * KILLS
    fates = {video: fate for video, fate in grounds.fates().items() if video not in before}
    assert check(history, fates) == []
    for (key, video), kind in zip(history.acknowledged.items(), kinds, strict=True):
        assert fates[video].status == "completed", key
        assert grounds.frames(video) == twins[kind], key


@contextmanager
def disturbed(grounds: Grounds, crew: Crew, rng: random.Random, progress: Callable[[], float]) -> Iterator[list[bool]]:
    """While it is open the store and workers are killed, KILLS times each, from the first order to the last end."""
    chance, over, done = random.Random(rng.random()), threading.Event(), list[bool]()

    def kill_store() -> None:
        grounds.valkey.kill()
        time.sleep(chance.uniform(0, 1))
        grounds.valkey.start()

    def reached(share: float) -> bool:
        with suppress(redis.RedisError):
            return progress() >= share
        return False

    def disturb() -> None:
        victims = [kill_store, lambda: crew.kill_one(chance)] * KILLS
        chance.shuffle(victims)
        for number, kill in enumerate(victims, start=1):
            while not reached(number / (len(victims) + 1)):
                if over.wait(0.1):
                    return
            kill()
            done.append(True)

    disturbing = threading.Thread(target=disturb, daemon=True)
    disturbing.start()
    try:
        yield done
    finally:
        over.set()
        disturbing.join(60)
