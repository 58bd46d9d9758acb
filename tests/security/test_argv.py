"""Prompt injection into tools: a prompt is data. It stands in no command line, no environment and no finished file.

An audit hook sees every process that this one starts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs import JobState, PromptAt
from tests.workers.conftest import DrawingShop, client, make_job, new_shop, settings, shop, store
from workers.render import render_next

__all__ = ["client", "new_shop", "settings", "shop", "store"]  # fixtures

PROMPT = "a red circle moving right on a black background"
MARK = "injectedword"
PROMPTS = [
    (f"{MARK}; touch /tmp/x #", f"$({MARK})"),
    (f"-i {MARK} -f lavfi", f"`{MARK}`"),
    (f"{MARK}\n-vf {MARK}", f"{MARK}' drawtext=textfile=/etc/passwd"),
    (f"%({MARK})s {{{MARK}}}", f"| {MARK} && {MARK} > /tmp/x"),
    (f'" {MARK} "', f"file:{MARK}"),
]


class Starts:
    """What this process starts while it watches: (program, its words, its environment)."""

    EVENTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile")

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []
        self.watches = False
        sys.addaudithook(self._look)  # for good: there is no way to take one away

    def _look(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.watches and event in self.EVENTS:
            self.seen.append((event, arguments))


ONLY = Starts()


@pytest.fixture
def starts() -> Iterator[Starts]:
    ONLY.seen.clear()
    ONLY.watches = True
    yield ONLY
    ONLY.watches = False


def test_a_prompt_never_stands_in_a_command_line(shop: DrawingShop, starts: Starts) -> None:
    for one, two in PROMPTS:
        later = (PromptAt(at_seconds=1, prompt=f"{PROMPT} {two}"),)
        changes = {"prompt": f"{PROMPT} {one}", "negative_prompt": two, "prompts": later}
        job, _ = shop.store.submit(make_job(17, **changes))
        while render_next(shop) is not None:
            pass
        done = shop.store.get(job.tenant, job.id)
        assert done.state is JobState.COMPLETED, done.error
        for name in shop.objects.list(f"{job.tenant}/{job.id}/"):
            assert name.endswith("job.json") or MARK.encode() not in shop.objects.get(name), name
    assert len(starts.seen) >= 3 * len(PROMPTS)
    for event, arguments in starts.seen:
        assert event == "subprocess.Popen" and MARK not in str(arguments), (event, arguments)
        program, words = arguments[:2]  # type: ignore[index]
        assert Path(program).name.startswith("ffmpeg") and isinstance(words, list), "and no shell"
