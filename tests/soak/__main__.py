"""`make soak`: a house under a steady flow of orders and a fault every 20 s, for as long as one likes.

Run as `python -m tests.soak [--minutes 30] [--seed 1] [--out FOLDER] [--picture FILE]`. In the end every order that
was acknowledged has come to its end, nothing grows, nothing is left, and nobody complained but of the faults. Ctrl-C
ends the soaking early, and what there is by then is judged; a second one ends all. Exit code 0: nothing is wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from service.database import connect
from service.settings import Settings
from tests.soak import picture, verdict
from tests.soak.gauges import Gauges, Sample
from tests.soak.harm import Harm
from tests.soak.orders import Orders
from tests.soak.remains import remains
from tests.support import s3
from tests.support.grounds import Crew, Grounds
from tests.support.history import check
from tests.support.receiver import Receiver
from tests.support.s3 import S3Server

WORKERS, PAUSE_S, FAULT_EVERY_S = 2, 4.0, 20.0
SETTLED_WITHIN_S = 150.0
SETTINGS = {
    "LONGTAKE_LOG_FORMAT": "json",
    "LONGTAKE_REDIS_TIMEOUT_S": "2",
    "LONGTAKE_WEBHOOK_TIMEOUT_S": "2",
    "LONGTAKE_VIDEO_TTL_S": "45",
    "LONGTAKE_IDEMPOTENCY_TTL_S": "60",
}


class Soak:
    """One run. `troubles` is what is wrong, as far as it is known."""

    def __init__(self, folder: Path, seed: int):
        self.troubles, self._open = list[str](), ExitStack()
        with ExitStack() as opened:
            self._server = S3Server(folder / "s3")
            opened.callback(self._server.kill)
            self._server.start().client().create_bucket(Bucket=s3.BUCKET)
            receiver = opened.enter_context(Receiver())
            self.grounds = Grounds(folder, self._server, forked=False, **SETTINGS)
            opened.callback(self.grounds.close)
            self._client = opened.enter_context(connect(Settings(redis_url=self.grounds.valkey.url)))
            self.crew = opened.enter_context(Crew(self.grounds, WORKERS))
            self.orders = Orders(self.grounds, receiver, random.Random(seed), PAUSE_S)
            opened.callback(self.orders.abandon)
            self.harm = Harm(
                self.grounds, self.crew, self._server, random.Random(seed + 1), FAULT_EVERY_S, self.troubles
            )
            self.gauges = Gauges(self.grounds, self.crew, self._server, self.harm.is_quiet)
            self._open = opened.pop_all()

    def close(self) -> None:
        """Everybody is sent home, whoever still waits for something."""
        self._open.close()

    def run(self, seconds: float) -> None:
        self.orders.rehearse()
        self.gauges.start()
        self.orders.start()
        self.harm.begin(seconds)
        with suppress(KeyboardInterrupt):
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and self.grounds.api.is_running:
                time.sleep(1)
        self.harm.stop()
        self.orders.stop()
        self._soaked_s = self.gauges.now_s

    @property
    def soaked(self) -> list[Sample]:
        """The samples until the flow of orders ended."""
        return [sample for sample in self.gauges.samples if sample.at_s <= self._soaked_s]

    def settle(self) -> None:
        """Wait until every video is gone: deleted by its client, or expired."""
        self.orders.settle()
        self._await(lambda: not self.orders.posted())
        self._await(lambda: not self.left())
        self.gauges.stop()

    def left(self) -> list[str]:
        return remains(self._client, self._server)

    def judge(self) -> list[str]:
        """What is wrong, all of it."""
        harmed: Callable[[float], bool] = lambda at: any(window.holds(at) for window in self.harm.windows)  # noqa: E731
        logs = verdict.complaints(self.grounds.folder.glob("*.log"), harmed)
        grows = []
        if verdict.is_judged(self.soaked):
            grows = [
                f"{slope.role} {slope.what} grows by {slope.an_hour:.1f} an hour"
                for slope in verdict.slopes(self.soaked)
                if not slope.is_flat
            ]
        return [
            *self.troubles,
            *self.orders.troubles,
            *check(self.orders.kept(), self.orders.fates),
            *self.orders.posted(),
            *(f"left: {what}" for what in self.left()),
            *(["the API is gone"] if not self.grounds.api.is_running else []),
            *grows,
            *logs,
        ]

    def report(self, out: Path, png: Path | None) -> None:
        """Samples, faults, logs and the picture, for whoever looks after it."""
        out.mkdir(parents=True, exist_ok=True)
        self.gauges.write(out / "samples.csv")
        (out / "faults.json").write_text(json.dumps([asdict(window) for window in self.harm.windows], indent=1))
        for log in [*self.grounds.folder.glob("*.log"), self.orders.history.file]:
            if log.exists():
                shutil.copy(log, out)
        began = time.time() - self.gauges.now_s
        harmed = [(window.began - began, window.ended - began) for window in self.harm.windows]
        for file in [out / "soak.png", *([png] if png else [])]:
            picture.draw(self.gauges.samples, harmed, file)

    def table(self) -> Table:
        shown = Table(title=f"{len(self.harm.windows)} faults, {self._told()}")
        for name in ("", "what", "in the middle", "an hour", "bound"):
            shown.add_column(name, justify="left" if name in ("", "what") else "right")
        for slope in verdict.slopes(self.soaked):
            an_hour = "too few" if slope.an_hour is None else f"{slope.an_hour:+.2f}"
            shown.add_row(slope.role, slope.what, f"{slope.middle:.1f}", an_hour, f"{slope.bound:g}")
        return shown

    def _told(self) -> str:
        def words(counts: dict[str, int]) -> str:
            return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))

        return f"{len(self.orders.history.acknowledged)} orders ({words(self.orders.acts)}): {words(self.orders.ends)}"

    def _await(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while not true() and time.monotonic() < deadline:
            time.sleep(0.5)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="of orders and faults; settling takes 2 more")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/soak"), help="samples, logs and the picture go there")
    parser.add_argument("--picture", type=Path, help="the picture goes there too: docs/soak.png")
    asked = parser.parse_args(words)
    console = Console(width=140)
    if not s3.is_installed():
        console.print("There is no S3 server here; `make s3-server` installs one.")
        return 1
    try:
        wrong, shown = soaked(60 * asked.minutes, asked.seed, asked.out, asked.picture)
    except KeyboardInterrupt:
        console.print("stopped before everything had settled")
        return 130
    console.print(shown)
    for what in wrong:
        console.print(f"wrong: {what}", markup=False, highlight=False)
    console.print("nothing is wrong" if not wrong else f"{len(wrong)} things are wrong (seed {asked.seed})")
    return 1 if wrong else 0


def soaked(seconds: float, seed: int, out: Path, png: Path | None) -> tuple[list[str], Table]:
    """What is wrong after a run, and its figures."""
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), seed)
        try:
            soak.run(seconds)
            soak.settle()
            soak.report(out, png)
            return soak.judge(), soak.table()
        finally:
            soak.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
