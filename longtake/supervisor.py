"""Child processes of `longtake serve`: started, restarted when they die, stopped with none left behind.

Knows processes and log files; nothing of what the children do. Single-threaded: every child is ended with the
thread that started it (Linux), so a supervisor that is killed outright leaves nothing behind either.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 30.0
LIVED_WELL_S = 30.0  # a child that lived so long starts again at once
_PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One process to keep running: what it is called, how it is started, and where it writes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    stop_within_s: float = 20.0
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    back_off_s: float = FIRST_BACK_OFF_S
    started_at: float = 0.0
    retry_at: float = 0.0

    def start(self) -> None:
        """In a process group of its own, so that Ctrl-C on the terminal reaches the supervisor alone."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.started_at = time.monotonic()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask_to_stop(self) -> None:
        """SIGTERM to the process alone: it knows how to end its own children."""
        if self.process is not None and self.is_running:
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait until the deadline, then end whatever is left of the group."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Supervisor:
    """Keeps its children running. They are stopped in the reverse order of their start."""

    children: list[Child] = field(default_factory=list)

    def start(self, child: Child) -> Child:
        self.children.append(child)
        child.start()
        return child

    def tend(self) -> list[str]:
        """Start again what has died, with growing pauses; returns a line for each death and each start."""
        news = []
        now = time.monotonic()
        for child in self.children:
            if child.is_running:
                continue
            if child.process is not None:
                code, child.process = child.process.returncode, None
                if now - child.started_at > LIVED_WELL_S:
                    child.back_off_s = FIRST_BACK_OFF_S
                child.retry_at = now + child.back_off_s
                child.back_off_s = min(2 * child.back_off_s, LONGEST_BACK_OFF_S)
                news.append(f"{child.name} ended ({_how(code)}); its log is {child.log}")
            elif now >= child.retry_at:
                child.start()
                child.restarts += 1
                news.append(f"{child.name} started again")
        return news

    def stop(self) -> None:
        while self.children:
            child = self.children.pop()
            child.ask_to_stop()
            child.end(time.monotonic() + child.stop_within_s)

    def stop_together(self, children: Sequence[Child]) -> None:
        """Ask several at once, so that stopping takes as long as the slowest and not as long as all."""
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + max((child.stop_within_s for child in children), default=0.0)
        for child in children:
            child.end(deadline)
            self.children.remove(child)


class Stopped(Exception):
    """SIGTERM or Ctrl-C."""


@contextmanager
def stop_signals() -> Iterator[None]:
    """Inside, the first SIGTERM, SIGHUP or Ctrl-C raises `Stopped`; later ones wait for the clean stop."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.signal(each, stop) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def die_with_parent() -> None:
    """Run in a fresh child: SIGTERM when the thread that started it ends. Linux has it; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
