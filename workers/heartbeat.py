"""A sign of life: a small file, renewed every second while the process lives, with what it is doing.

A probe looks at the file's age and needs neither Redis nor a remote control that a long step would block:
`python -m workers.heartbeat FILE` says in words and by its exit code whether that worker can work; with states after
FILE, whether it is in one of them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import Gauge

ALIVE = Gauge("longtake_worker_last_heartbeat_timestamp_seconds", "When this worker last said it lives.")
READY = Gauge("longtake_worker_ready", "1 while this worker can work, 0 while it loads or where it cannot.")

INTERVAL_S = 1.0
STALE_S = 10.0
STATES = frozenset({"loading", "ready", "broken"})


class Heartbeat(threading.Thread):
    """Writes `path` until the process ends; without a path it only keeps the state."""

    def __init__(self, path: Path | None, worker_id: str):
        super().__init__(name="heartbeat", daemon=True)
        self._path, self._worker_id, self.state = path, worker_id, "loading"

    def become(self, state: str) -> None:
        self.state = state
        READY.set(state == "ready")
        self._write()

    def run(self) -> None:
        while True:
            ALIVE.set_to_current_time()
            self._write()
            time.sleep(INTERVAL_S)

    def _write(self) -> None:
        if self._path is None:
            return
        said = {"worker": self._worker_id, "pid": os.getpid(), "state": self.state, "at": time.time()}
        part = self._path.with_name(f"{self._path.name}.{threading.get_ident()}.part")
        with suppress(OSError):  # a full disk is told by what it breaks, not by the heartbeat
            part.write_text(json.dumps(said))
            part.replace(self._path)


def read(path: Path) -> dict[str, Any] | None:
    """What a living worker last wrote; None where there is none, or it is silent for too long."""
    try:
        said: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return said if time.time() - said["at"] < STALE_S else None


def main() -> None:
    if len(sys.argv) < 2 or not {*sys.argv[2:]} <= STATES:
        sys.exit(f"usage: python -m workers.heartbeat FILE [{'|'.join(sorted(STATES))}]...")
    said = read(Path(sys.argv[1]))
    state = said["state"] if said else "silent"
    sys.exit(None if state in (sys.argv[2:] or ["ready"]) else f"the worker is {state}")


if __name__ == "__main__":
    main()
