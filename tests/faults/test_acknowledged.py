"""What was acknowledged is done, once, and exactly so: whoever is killed meanwhile."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

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
KILLS = 5  # of the store; workers are killed about as often
AT_EASE = 12  # so many orders have the kills a second apart, more of them have them further apart


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
    with Crew(grounds, 2) as crew, disturbed(grounds, crew, rng, max(1, count / AT_EASE)):
        for number, kind in enumerate(kinds):
            key = f"order-{seed}-{number}"
            send = partial(grounds.http.post, "/v1/videos", json=COMMON | KINDS[kind], headers={"Idempotency-Key": key})
            history.submit(send, key)
            time.sleep(rng.uniform(0, 0.3))
        grounds.all_ended(60 + 10 * count)
    fates = {video: fate for video, fate in grounds.fates().items() if video not in before}
    assert check(history, fates) == []
    for (key, video), kind in zip(history.acknowledged.items(), kinds, strict=True):
        assert fates[video].status == "completed", key
        assert grounds.frames(video) == twins[kind], key


class disturbed:  # noqa: N801
    """While it is open the store and workers are killed, KILLS times each at most, in an order that `rng` says."""

    def __init__(self, grounds: Grounds, crew: Crew, rng: random.Random, mean_s: float):
        self._grounds, self._crew, self._rng = grounds, crew, random.Random(rng.random())
        self._mean_s = mean_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._disturb, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _disturb(self) -> None:
        victims = [self._kill_store, self._kill_worker] * KILLS
        self._rng.shuffle(victims)
        for kill in victims:
            if self._over.wait(self._mean_s * self._rng.uniform(0.2, 1.8)):
                return
            kill()

    def _kill_store(self) -> None:
        self._grounds.valkey.kill()
        time.sleep(self._rng.uniform(0, 1))
        self._grounds.valkey.start()

    def _kill_worker(self) -> None:
        self._crew.kill_one(self._rng)
