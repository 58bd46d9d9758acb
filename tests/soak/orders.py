"""The orders that come while the house is soaked, and the life of each: what a client does with a video, and what must
come of it whatever is done to the house meanwhile.

Asks again where a call is not answered, as a client must. What is wrong is told in `troubles`.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import redis

from service.database import connect
from service.jobs import UnitDone
from service.keys import key
from service.settings import Settings
from tests.support.grounds import Grounds, awaits
from tests.support.history import TERMINAL, Fate, History
from tests.support.house import PROMPT, stored_job
from tests.support.receiver import Receiver

KINDS: tuple[dict[str, Any], ...] = ({"num_frames": 16, "seed": 1}, {"num_frames": 24, "seed": 2})
COMMON = {"prompt": PROMPT, "steps": 1, "refine": False}
OTHER_PROMPT = "a blue square moving left on a navy background"
#: What a client does with a video, and how often.
ACTS = {"leave": 4, "watch": 4, "steer": 2, "cancel": 2, "drop": 1}
LIVES_AT_ONCE = 8
ANSWERED_WITHIN_S = 45.0  # of a call with all its repetitions; below the time that an Idempotency-Key is kept
ENDED_WITHIN_S = 180.0


class Orders(threading.Thread):
    """An order every `pause_s`, unless too many live already, until `stop`; then `settle` waits for the last."""

    def __init__(self, grounds: Grounds, receiver: Receiver, rng: random.Random, pause_s: float):
        super().__init__(name="orders", daemon=True)
        self._grounds, self._receiver, self._rng, self._pause_s = grounds, receiver, rng, pause_s
        self.history, self.troubles = History(grounds.folder / "history.jsonl"), list[str]()
        self.fates, self.dropped = dict[str, Fate](), set[str]()
        self.ends, self.acts, self.twins = Counter[str](), Counter[str](), list[list[str]]()
        self._hooked, self._over, self._abandoned = set[str](), threading.Event(), threading.Event()
        self._client = connect(Settings(redis_url=grounds.valkey.url))
        self._pool, self._lives = ThreadPoolExecutor(LIVES_AT_ONCE, "life"), list[Future[None]]()
        self._free = threading.Semaphore(LIVES_AT_ONCE)

    def rehearse(self) -> None:
        """One of each kind in peace: the frames that all later ones must have. Nothing is left of them."""
        for kind in KINDS:
            video = self._grounds.submit(**COMMON | kind)
            self.twins.append(self._grounds.finished(video).frame_hashes)
            (self._grounds.folder / f"{video}.mp4").unlink()
            self._grounds.http.delete(f"/v1/videos/{video}").raise_for_status()

    def run(self) -> None:
        number = 0
        while not self._over.wait(self._pause_s):
            if self._free.acquire(timeout=1.0):
                seed, number = self._rng.random(), number + 1
                self._lives.append(self._pool.submit(self._live, number, random.Random(seed)))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def abandon(self) -> None:
        """Let nobody wait for anything any more."""
        self._over.set()
        self._abandoned.set()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def settle(self) -> None:
        """Every life is over, and nothing is left of what a client can delete."""
        for life in self._lives:
            life.result()
        for video in self.fates:
            with suppress(httpx.TransportError):
                self._grounds.http.delete(f"/v1/videos/{video}")

    def posted(self) -> list[str]:
        """Ends that nobody was posted of; what came, came."""
        told = {(body["data"]["id"], body["type"]) for body in map(json.loads, self._bodies())}
        wanted = {(video, f"video.{self.fates[video].status}") for video in self._hooked if video in self.fates}
        return [f"{video} was hooked, and nobody was posted of {kind}" for video, kind in sorted(wanted - told)]

    def kept(self) -> History:
        """What was told of the videos that were left to reach their end."""
        kept = History(self.history.file)
        kept.told = [told for told in self.history.told if told.video not in self.dropped]
        return kept

    def _bodies(self) -> list[bytes]:
        return [received.body for received in self._receiver.received]

    # One life

    def _live(self, number: int, rng: random.Random) -> None:
        try:
            self._life(number, rng)
        except (AssertionError, httpx.HTTPError) as error:
            self.troubles.append(f"order {number}: {error}")
        finally:
            self._free.release()

    def _life(self, number: int, rng: random.Random) -> None:
        kind, (act,) = rng.randrange(len(KINDS)), rng.choices(list(ACTS), list(ACTS.values()))
        body, hooked = COMMON | KINDS[kind], rng.random() < 0.4
        if hooked:
            body["webhook"] = {"url": self._receiver.url}
        about = f"order-{number}"
        send = partial(self._grounds.http.post, "/v1/videos", json=body, headers={"Idempotency-Key": about})
        video = self.history.submit(send, about, ANSWERED_WITHIN_S)
        self.acts[act] += 1
        told: list[str] = []
        if act == "watch":
            told = self._watch(video)
        elif act != "leave":
            time.sleep(rng.uniform(0, 0.7))  # a video takes a second or two
            self._act(act, video)
        if act == "drop":
            return
        fate = self._fate(video)
        self.fates[video], self.ends[fate.status] = fate, self.ends[fate.status] + 1
        if hooked:
            self._hooked.add(video)
        if act == "watch" and told != fate.events:
            self.troubles.append(f"{video}: a watcher was told {told}, and {fate.events} happened")
        if fate.status != "completed" and act != "cancel":
            self.troubles.append(f"{video}, {act}: {fate.status}, {self._error(video)}")
        if fate.status == "completed" and act in ("leave", "watch") and rng.random() < 0.3:
            self._compare(video, kind)
        if rng.random() < 0.5:  # the others expire
            self._insist(lambda: self._grounds.http.delete(f"/v1/videos/{video}"), 200, 404)

    def _act(self, act: str, video: str) -> None:
        path, http = f"/v1/videos/{video}", self._grounds.http
        if act == "cancel":
            self._insist(lambda: http.post(f"{path}/cancel"), 200)
        elif act == "steer":  # 409: nothing is left to steer
            self._insist(lambda: http.patch(path, json={"prompt": OTHER_PROMPT}), 200, 409)
        elif act == "drop":
            self.dropped.add(video)
            self._insist(lambda: http.delete(path), 200, 404)
            gone = self._insist(lambda: http.get(path), 200, 404).status_code == 404
            assert gone, f"{video} was deleted and is there"

    def _watch(self, video: str) -> list[str]:
        """Every event that is kept, over as many streams as it takes."""
        told, seen = list[str](), ""
        for _ in self._tries(ENDED_WITHIN_S):
            headers = {"Last-Event-ID": seen} if seen else {}
            with (
                suppress(httpx.TransportError),
                self._grounds.http.stream("GET", f"/v1/videos/{video}/events", headers=headers, timeout=30) as answer,
            ):
                if answer.status_code == 204:
                    return told
                for place, kind in _events(answer.iter_lines()) if answer.is_success else ():
                    told.append(kind)
                    seen = place
                    if kind.removeprefix("video.") in TERMINAL:
                        return told
        raise AssertionError(f"{video}: no end was told within {ENDED_WITHIN_S:g} s, but {told}")

    def _fate(self, video: str) -> Fate:
        """What is there of it at its end, past the API."""
        for _ in self._tries(ENDED_WITHIN_S):
            with suppress(redis.RedisError, OSError):
                job = stored_job(self._client, video)
                if job.state.is_terminal:
                    rows: Any = self._client.xrange(key("events", video))
                    committed: Any = self._client.lrange(key("committed", video), 0, -1)
                    done = [UnitDone.model_validate_json(line) for line in committed]
                    return Fate(str(job.state), done, awaits(job), [told["type"] for _, told in rows])
        raise AssertionError(f"{video} had no end within {ENDED_WITHIN_S:g} s")

    def _error(self, video: str) -> Any:
        return self._insist(lambda: self._grounds.http.get(f"/v1/videos/{video}"), 200, 404).json().get("error")

    def _compare(self, video: str, kind: int) -> None:
        for _ in self._tries(ANSWERED_WITHIN_S):
            with suppress(httpx.HTTPError):
                made = self._grounds.frames(video)
                (self._grounds.folder / f"{video}.mp4").unlink()
                assert made == self.twins[kind], f"{video} has other frames than an undisturbed run makes"
                self.acts["compare"] += 1
                return
        raise AssertionError(f"{video} could not be fetched within {ANSWERED_WITHIN_S:g} s")

    def _insist(self, call: Callable[[], httpx.Response], *expected: int) -> httpx.Response:
        """Until it is answered by one of those."""
        last = ""
        for _ in self._tries(ANSWERED_WITHIN_S):
            try:
                answer = call()
            except httpx.TransportError as error:
                last = repr(error)
            else:
                if answer.status_code in expected:
                    return answer
                assert answer.status_code == 503, answer.text
                last = answer.text
        raise AssertionError(f"not answered within {ANSWERED_WITHIN_S:g} s: {last}")

    def _tries(self, seconds: float) -> Iterator[None]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._abandoned.is_set():
            yield
            self._abandoned.wait(0.3)


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Place and kind of those that are kept."""
    place = ""
    for line in lines:
        if line.startswith("id: "):
            place = line[4:]
        elif line.startswith("event: ") and place:
            yield place, line[7:]
        elif not line:
            place = ""
