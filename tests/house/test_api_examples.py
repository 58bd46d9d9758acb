"""docs/api.md is true: its examples are run against the house, in order, and what they print is what it shows.

A bash and a Python session stay open for the whole page, so that an example may use what an earlier one has left.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.database import connect
from service.settings import Settings
from service.tenants import Tenants
from tests.support.house import House, until
from tests.support.processes import ROOT, Process
from workers import media

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is not installed (Debian: curl jq)"
    ),
]

PAGE = (ROOT / "docs" / "api.md").read_text()
CURLRC = "silent\nshow-error\nfail-with-body\n"
HTTP_ERROR = 22  # how curl ends then
LONGEST_S = 120.0  # that an example takes
TIMES = 1_000_000_000  # whole numbers from here on are times

#: Both read examples, run them, print a NUL after what each has printed, and end with the first one that fails.
BASH = "while IFS= read -rd '' example; do eval \"$example\" </dev/null; printf '\\0'; done"
PYTHON = """
import json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    exec(compile(json.loads(line), "an example", "exec"), names)
    print(end="\\0", flush=True)
"""
COMMANDS = {
    "bash": ("bash", "-euo", "pipefail", "-c", BASH),
    "python": (sys.executable, "-W", "ignore::DeprecationWarning", "-c", PYTHON),
}


@dataclass(frozen=True)
class Example:
    """Code of the page, and what the page shows of its output: kind '' where it shows none."""

    line: int
    language: str
    code: str
    kind: str
    shown: str

    def __str__(self) -> str:
        return f"line-{self.line}-{self.language}"

    @property
    def is_refused(self) -> bool:
        return self.kind == "json" and '"request_id"' in self.shown

    def sent(self) -> str:
        """As its session reads it. One that shows a problem must be refused."""
        if self.language == "python":
            return json.dumps(self.code) + "\n"
        if self.is_refused:
            return f"set +e\n{self.code}\n[ $? = {HTTP_ERROR} ] || exit 1\nset -e\0"
        return f"{self.code}\0"


def examples() -> Iterator[Example]:
    """In their order. What a fence holds that follows code directly is its output."""
    fences = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```(json|http|text)\n(.*?)^```\n)?", re.M | re.S)
    for found in fences.finditer(PAGE):
        if found[1] in COMMANDS:
            line = PAGE.count("\n", 0, found.start()) + 1
            yield Example(line, found[1], found[2], found[3] or "", found[4] or "")


class Session:
    """An interpreter that is open for the whole page."""

    def __init__(self, language: str, folder: Path, environment: Mapping[str, str]):
        self._errors, self.is_open = folder / f"{language}.err", True
        with self._errors.open("wb") as errors:
            self._popen = subprocess.Popen(
                COMMANDS[language],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def run(self, example: Example) -> str | None:
        """What it prints; None where it fails, which is the end of the session."""
        assert self._popen.stdin and self._popen.stdout
        watchdog = threading.Timer(LONGEST_S, self.close)
        watchdog.start()
        try:
            with suppress(BrokenPipeError):
                self._popen.stdin.write(example.sent())
                self._popen.stdin.flush()
            printed = ""
            while (character := self._popen.stdout.read(1)) != "\0":
                if not character:
                    self.is_open = False
                    return None
                printed += character
            return printed
        finally:
            watchdog.cancel()

    def said(self) -> str:
        return self._errors.read_text()[-2000:]

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()


@dataclass(frozen=True)
class Reading:
    """What became of the page."""

    folder: Path
    printed: dict[int, str | None]  # by line; None for one that failed, nothing for those that it kept from running
    complaint: str
    answered: set[tuple[str, str]]  # method and route of every answer below 400
    ended: list[dict[str, Any]]  # the videos that it ordered and did not delete


@pytest.fixture(scope="module")
def reading(house: House, worker: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """The page as its reader would go through it, as a tenant of its own, with nothing but what it tells to set."""
    folder = tmp_path_factory.mktemp("page")
    (folder / ".curlrc").write_text(CURLRC)
    settings = Settings(redis_url=house.valkey.url)
    _, token = Tenants(connect(settings), settings).create_key("reader of the page")
    given = {"LONGTAKE_URL": str(house.http.base_url).rstrip("/"), "LONGTAKE_API_KEY": token}
    [told] = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    assert set(re.findall(r"(\w+)=", told)) == set(given)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "CURL_HOME": str(folder), "LANG": "C.UTF-8", **given}
    sessions = {language: Session(language, folder, environment) for language in COMMANDS}
    before = answers(house)
    printed = {}
    for example in EXAMPLES:
        if (session := sessions[example.language]).is_open:
            printed[example.line] = session.run(example)
    answered = {route for route, number in answers(house).items() if number > before.get(route, 0)}
    for session in sessions.values():
        session.close()
    as_reader = {"Authorization": f"Bearer {token}"}
    ordered = house.http.get("/v1/videos?limit=100", headers=as_reader).json()["data"]
    try:
        ended = [wait(house, video["id"], as_reader) for video in ordered]
        complaint = "\n".join(session.said() for session in sessions.values())
        yield Reading(folder, printed, complaint, answered, ended)
    finally:
        for video in ordered:
            house.http.delete(f"/v1/videos/{video['id']}", headers=as_reader)


def answers(house: House) -> dict[tuple[str, str], float]:
    """How often each call was answered as it should be."""
    line = re.compile(r'longtake_http_requests_total\{method="(\w+)",route="([^"]+)",status="[123]\d\d"\} (\S+)')
    counted: dict[tuple[str, str], float] = {}
    for method, route, number in line.findall(house.metrics("api")):
        counted[method, route] = counted.get((method, route), 0) + float(number)
    return counted


def wait(house: House, video_id: str, headers: Mapping[str, str]) -> dict[str, Any]:
    last: dict[str, Any] = {}

    def has_ended() -> bool:
        last.update(house.http.get(f"/v1/videos/{video_id}", headers=headers).raise_for_status().json())
        return last["status"] in ("completed", "failed", "cancelled")

    until(has_ended, f"the end of {video_id}")
    return last


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_prints_what_is_shown(reading: Reading, example: Example) -> None:
    if example.line not in reading.printed:
        pytest.skip("one before it has failed")
    printed = reading.printed[example.line]
    assert printed is not None, f"it failed:\n{reading.complaint}"
    if example.kind == "json":
        compare(json.loads(example.shown), json.loads(printed), "answer")
    elif example.kind == "http":
        compare_answers(example.shown, printed.replace("\r", ""))
    elif example.kind == "text":
        compare_lines(example.shown.splitlines(), printed.splitlines())


def compare(shown: Any, came: Any, place: str) -> None:
    """What is shown came. Fields may be left out; numbers with a point were measured, and may be others."""
    if isinstance(shown, dict):
        assert isinstance(came, dict) and shown.keys() <= came.keys(), f"{place}: {came}"
        for name, value in shown.items():
            compare(value, came[name], f"{place}.{name}")
    elif isinstance(shown, list):
        assert isinstance(came, list) and len(shown) <= len(came), f"{place}: {came}"
        for i, value in enumerate(shown):
            compare(value, came[i], f"{place}[{i}]")
    elif isinstance(shown, str):
        assert isinstance(came, str) and is_like(shown, came), f"{place}: {came}"
    elif isinstance(shown, float) or (type(shown) is int and shown > TIMES):
        assert type(came) in (int, float) and (came > TIMES) == (shown > TIMES), f"{place}: {came}"
    else:
        assert came == shown and type(came) is type(shown), f"{place}: {came}"


def compare_answers(shown: str, came: str) -> None:
    """The status, headers in any order, and the body where one is shown."""
    head, _, body = shown.partition("\n\n")
    came_head, _, came_body = came.partition("\n\n")
    (status, *headers), (came_status, *came_headers) = head.splitlines(), came_head.splitlines()
    assert came_status.strip() == status
    for header in headers:
        assert any(is_like(header, other) for other in came_headers), f"{header} is not in:\n{came_head}"
    if body:
        compare(json.loads(body), json.loads(came_body), "answer")


def compare_lines(shown: list[str], came: list[str]) -> None:
    """Each line that is shown came, in this order; others may stand between."""
    rest = iter(came)
    for line in shown:
        assert any(is_like(line, other) for other in rest), f"no '{line}' where it is shown in:\n{came}"


def is_like(shown: str, came: str) -> bool:
    """… is anything, but not nothing."""
    return re.fullmatch(".+".join(map(re.escape, shown.split("…"))), came, re.S) is not None


def test_the_files_are_the_videos(reading: Reading) -> None:
    assert len(media.frame_hashes(reading.folder / "take.mp4")) == 24
    assert len(media.frame_hashes(reading.folder / "star.mp4")) == 24
    assert (reading.folder / "thumbnail.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_what_the_examples_order_is_made(reading: Reading) -> None:
    assert len(reading.ended) > 5
    assert {video["status"] for video in reading.ended} == {"completed"}, reading.ended


def test_every_call_is_in_the_table_and_in_an_example_that_is_answered(reading: Reading, house: House) -> None:
    document = house.http.get("/openapi.json").raise_for_status().json()
    served = {(method.upper(), plain(path)) for path, calls in document["paths"].items() for method in calls}
    told = set(re.findall(r"^\| `(\w+) (\S+)` \|", PAGE, re.M))
    assert served <= told
    assert served <= {(method, plain(route)) for method, route in reading.answered}
    for method, path in told - served:
        assert method == "GET" and house.http.get(path).is_success, f"{method} {path} is told of, and not there"


def plain(path: str) -> str:
    """With every parameter called `id`, as the page has it."""
    return re.sub(r"\{[\w:]+\}", "{id}", path)
