"""Progress on a terminal: one bar for a video, with its chunk, its step and the time left.

Where the output is no terminal there is a line for each change instead. Knows nothing of who does the work.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class VideoProgress:
    """`show(done, total, doing)`: how much of how much is done, and what is being done, in a few words."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("waiting", total=None)
        self._said = ""

    def show(self, done: float, total: int, doing: str) -> None:
        self._bar.update(self._task, completed=done, total=total, description=doing)
        plain = doing.partition(", step")[0]
        if not self._console.is_terminal and plain != self._said:
            self._said = plain
            self._console.print(f"{100 * done // total:3.0f} % {plain}", highlight=False)

    def __enter__(self) -> VideoProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
