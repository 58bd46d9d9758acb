"""What clients were told, in the order in which they were told it, and whether a service could have told it truly.

An append-only list after Jepsen's: an operation ends well (`ok`), is refused (`fail`), or its answer is lost
(`unknown`), which may mean either. `check` compares it with what is there when all is quiet.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from service.jobs import UnitDone

TERMINAL = {"completed", "failed", "cancelled"}


@dataclass(frozen=True)
class Told:
    at: float
    operation: str
    about: str  # an Idempotency-Key
    outcome: str
    video: str = ""


@dataclass(frozen=True)
class Fate:
    """What is there of a video in the end."""

    status: str
    committed: list[UnitDone]
    awaits: dict[str, list[str]]  # unit -> those that it waits for, in the order of the plan
    events: list[str]  # kinds, as they were told


class History:
    def __init__(self, file: Path):
        self.file, self.told = file, list[Told]()
        self._lock = threading.Lock()

    def append(self, operation: str, about: str, outcome: str, video: str = "") -> None:
        told = Told(time.monotonic(), operation, about, outcome, video)
        with self._lock, self.file.open("a") as file:
            self.told.append(told)
            file.write(json.dumps(asdict(told)) + "\n")

    def submit(self, send: Callable[[], httpx.Response], about: str, seconds: float = 60.0) -> str:
        """Order a video until the order is acknowledged: its id. Every answer on the way is written down."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = send()
            except httpx.TransportError:
                self.append("submit", about, "unknown")
            else:
                if answer.status_code == 202:
                    video = str(answer.json()["id"])
                    self.append("submit", about, "ok", video)
                    return video
                assert answer.status_code == 503, answer.text
                self.append("submit", about, "unknown")  # the store may have taken it and not been able to say so
            assert time.monotonic() < deadline, f"{about} was not acknowledged within {seconds:g} s: {self.file}"
            time.sleep(0.1)

    @property
    def acknowledged(self) -> dict[str, str]:
        """The videos, by the key that they were ordered with."""
        return {told.about: told.video for told in self.told if told.outcome == "ok"}


def check(history: History, fates: dict[str, Fate]) -> list[str]:
    """What is wrong; nothing, where the service kept its word."""
    return [*lost(history, fates), *(wrong for video, fate in fates.items() for wrong in troubles(video, fate))]


def lost(history: History, fates: dict[str, Fate]) -> Iterable[str]:
    """Videos that were acknowledged and are not there, and orders that made two."""
    videos = dict[str, set[str]]()
    for told in history.told:
        if told.outcome == "ok":
            videos.setdefault(told.about, set()).add(told.video)
    for about, made in videos.items():
        if len(made) > 1:
            yield f"{about} was acknowledged as {sorted(made)}"
        yield from (f"{video} was acknowledged and is gone" for video in made if video not in fates)
    if len(fates) > len(videos):
        yield f"{len(videos)} videos were ordered, and {len(fates)} are there"


def troubles(video: str, fate: Fate) -> Iterable[str]:
    """What is wrong with one video that is at its end."""
    if fate.status not in TERMINAL:
        yield f"{video} is {fate.status} for ever"
    ends = [kind for kind in fate.events if kind.removeprefix("video.") in TERMINAL]
    if ends != [f"video.{fate.status}"]:
        yield f"{video} is {fate.status}, and told {ends}"
    twice = [kind for kind, count in Counter(fate.events).items() if count > 1 and "chunk" not in kind]
    if twice:
        yield f"{video} told {twice} more than once"
    made = [done.unit for done in fate.committed]
    if len(made) != len(set(made)):
        yield f"{video} has units that were committed twice: {made}"
    if not set(made) <= set(fate.awaits) or (fate.status == "completed" and set(made) != set(fate.awaits)):
        yield f"{video} is {fate.status} with {made} of {list(fate.awaits)}"
    fences = {done.unit: done.fence for done in fate.committed}
    if len(set(fences.values())) != len(fences):
        yield f"{video} has units that were committed under one fence: {fences}"
    for unit, fence in fences.items():  # each was claimed after all that it waits for were done
        early = [before for before in fate.awaits.get(unit, ()) if fences.get(before, fence) >= fence]
        if early:
            yield f"{video} has {unit} under fence {fence}, and what it waits for under {early}: {fences}"
