"""`longtake serve`: everything on one machine, with no server to install.

A private Valkey, the API, render workers and a delivery worker, each a process with its own log, watched over
by this one. What is in work when it stops is continued at the next start on the same folder.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from longtake import valkey
from longtake.house import LOOK_EVERY_S, House
from longtake.supervisor import Stopped, stop_signals


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Where videos, queue and logs are kept.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Render workers.")
def serve(host: str, port: int, data: Path, workers: int) -> None:
    """Run everything on this machine: API, render workers, delivery, and a private Valkey unless
    LONGTAKE_REDIS_URL names a server. Ctrl-C stops it; the next start goes on with what was in work.

    \b
    Example:
      longtake serve --port 8000 --data data
    """
    with owned(data), stop_signals():
        house = House(host, port or valkey.free_port(), data.absolute(), workers, tell)
        try:
            house.open()
            watch_over(house)
        except Stopped:
            tell("stopping")
        except valkey.NoValkey as error:
            raise click.ClickException(str(error)) from error
        finally:
            house.close()
    tell("stopped")


def watch_over(house: House) -> None:
    """Until a signal ends it: keep everything running, and say what becomes of the videos."""
    said = ""
    while True:
        time.sleep(LOOK_EVERY_S)
        house.tend()
        if (now := house.summary() or said) != said:
            said = now
            tell(f"videos: {now}")


@contextmanager
def owned(data: Path) -> Iterator[None]:
    """Hold the folder: two services on one queue file would destroy it."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(f"Another `longtake serve` runs on {data}.") from None
        yield


def tell(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)
