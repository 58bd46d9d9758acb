"""Processes of the tests, each in a group of its own; ended by pid, with whatever they started.

A worker imports for seven seconds before it does anything, and the tests start several hundred. So our own modules are
forked (`Forked`) from a process that has imported the libraries before: the same code by the same entry point, with
the environment, folder and log that it would have had. The demo, `longtake serve` and the images start as users start
them; so does what needs its environment before its first import.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from celery.concurrency import prefork

from longtake.supervisor import die_with_parent

ROOT = Path(__file__).parents[2]
#: Read when the interpreter, or the loader before it, starts.
EARLY = {"PYTHONPATH", "LD_PRELOAD"}
#: What they all import. Not the modules with Celery's tasks: those do something by being imported.
IMPORTED = (
    "service.api.app",
    "workers.render",
    "workers.workshop",
    "transformers.models.clip.modeling_clip",
    "celery.bin.worker",
)


class Process(ABC):
    """One process and whatever it starts."""

    def __init__(self, name: str, folder: Path):
        self.name, self.log = name, folder / f"{name}.log"

    @property
    @abstractmethod
    def pid(self) -> int: ...

    @abstractmethod
    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, negative where a signal ended it; None where it is there after so many seconds."""

    @property
    def is_running(self) -> bool:
        return self.wait(0) is None

    def signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask the parent, as a supervisor does."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """As a lost machine: parent and child at once, without a word."""
        self.signal_group(signal.SIGKILL)
        self.wait()

    def pause(self) -> None:
        self.signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal_group(signal.SIGCONT)

    def stop(self, seconds: float = 30.0) -> int:
        """Ask, and wait; its exit code."""
        self.resume()
        self.terminate()
        try:
            code = self.wait(seconds)
            if code is None:
                self.signal_group(signal.SIGUSR1)  # Celery's: every thread tells in the log where it is
                time.sleep(1)
                raise AssertionError(f"{self.name} does not leave:\n{self.log.read_text()[-20_000:]}")
            return code
        finally:
            self.kill()


class Started(Process):
    """Any command."""

    def __init__(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path):
        super().__init__(name, folder)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # a test run that is killed leaves nothing behind
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def wait(self, seconds: float | None = None) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._popen.wait(seconds)
        return None


class Forked(Process):
    """`python -m MODULE WORDS…`, at once."""

    def __init__(self, name: str, module: Sequence[str], environment: Mapping[str, str], folder: Path):
        super().__init__(name, folder)
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(list(IMPORTED))
        ours, its = forks.Pipe(duplex=False)
        own = {**os.environ, **environment}
        self._process = forks.Process(target=be, args=(list(module), own, folder, self.log, its), daemon=True)
        self._process.start()
        its.close()
        with ours, suppress(EOFError):
            ours.recv()  # from now on it leads a group, by which it can be killed

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wait(self, seconds: float | None = None) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode


def be(module: list[str], environment: Mapping[str, str], folder: Path, log: Path, told: Connection) -> None:
    """In the fork: become `python -m MODULE WORDS…`."""
    os.setsid()
    die_with_parent()
    told.send(True)
    told.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab", buffering=0) as written:
        for stream in (1, 2):
            os.dup2(written.fileno(), stream)
    prefork.set_start_method = lambda *_, **__: None  # for a worker's child: not spawned, but forked as its parent is
    sys.argv = module
    try:
        runpy.run_module(module[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a fork of multiprocessing's leaves without them
