"""The running service against its own OpenAPI document, by schemathesis with every check on and in sequences of calls.

What comes back must be as described, whatever is sent, and no call may be a bug. Two tenants are in the house, and
neither may find what is the other's (`neighbour.py`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.database import connect
from service.settings import Settings
from service.tenants import Tenants
from tests.support.house import KEY, House
from tests.support.processes import Process

pytestmark = pytest.mark.processes
HERE = Path(__file__).parent
EXAMPLES = 5  # an operation
SEQUENCES, TRIES = 90, 4  # a try may end after a third of them, where the same call is answered otherwise again
LINKS = 40  # followed at least
MISSED = 3  # calls that nothing came of: it hangs on what the worker has made by then
LONGEST_S = "10"  # of an answer, where a stateful run is beside much else


@pytest.fixture(scope="module")
def inn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of its own, where thousands of orders are in nobody's way."""
    limits = {"LONGTAKE_TENANT_LIVE_JOBS": "0", "LONGTAKE_TENANT_REQUESTS_PER_MINUTE": "0"}
    house = House(tmp_path_factory.mktemp("inn"), **limits, LONGTAKE_PLAYLIST_HOLD_S="0.5")
    yield house
    house.close()


@pytest.fixture(scope="module")
def neighbours_key(inn: House) -> str:
    settings = Settings(redis_url=inn.valkey.url)
    _, token = Tenants(connect(settings), settings).create_key("neighbour")
    return token


@pytest.fixture(scope="module")
def worker(inn: House) -> Process:
    return inn.worker("render")


@pytest.fixture
def environment(inn: House, worker: Process, neighbours_key: str, tmp_path: Path) -> dict[str, str]:
    """Two tenants, each with two finished videos, of which the house's first is what calls are about."""
    worker.resume()
    keys = {"neighbour": neighbours_key, "house": KEY}
    for key in keys.values():
        inn.http.headers["Authorization"] = f"Bearer {key}"
        first, _ = (inn.ended(inn.submit(num_frames=16, refine=False))["id"] for _ in range(2))
    tenants = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {key}"}]}
        for name, key in keys.items()
    ]
    path = tmp_path / "tenants.json"
    path.write_text(json.dumps({"auth": tenants}))
    hooks = {
        "SCHEMATHESIS_HOOKS": str(HERE / "neighbour.py"),
        "NEIGHBOURS_KEY": neighbours_key,
        "FINISHED_VIDEO": first,
    }
    return {**os.environ, **hooks, "TENANTS": str(path)}


def schemathesis(inn: House, environment: dict[str, str], folder: Path, phases: str, examples: int) -> str:
    """What it printed; it found nothing."""
    command = [
        Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "schemathesis.toml",
        "run", f"http://127.0.0.1:{inn.port}/openapi.json",
        "--checks", "all", "--phases", phases, "--max-examples", str(examples),
        "--continue-on-failure", "--generation-deterministic", "--suppress-health-check", "all",
        "--request-timeout", LONGEST_S, "--max-response-time", LONGEST_S, "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=590)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[:4000] + done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.timeout(600)
def test_every_operation_keeps_to_its_description(
    inn: House, worker: Process, environment: dict[str, str], tmp_path: Path
) -> None:
    worker.pause()  # what is ordered here need not be made
    said = schemathesis(inn, environment, tmp_path, "examples,coverage,fuzzing", EXAMPLES)
    selected, tested = figures(r"Selected: (\d+)/\d+\s+Tested: (\d+)", said)
    assert tested == selected


@pytest.mark.long
@pytest.mark.timeout(600)
def test_calls_lead_to_one_another_as_described(inn: House, environment: dict[str, str], tmp_path: Path) -> None:
    covered = 0
    for _ in range(TRIES):
        said = schemathesis(inn, environment, tmp_path, "stateful", SEQUENCES)
        (followed,) = figures(r"API Links: +(\d+) covered", said)
        covered = max(covered, followed)
        if covered >= LINKS:
            break
    assert covered >= LINKS
    (tested,) = figures(r"Tested: (\d+)", said)
    targets = led_to(inn.http.get("/openapi.json").json())
    assert tested >= len(targets)
    assert len(targets - done(inn)) <= MISSED


def led_to(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Method and path of what the answers to other calls lead to."""
    calls = {
        call["operationId"]: (method.upper(), path, call["responses"])
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    }
    links = {name for *_, answers in calls.values() for answer in answers.values() for name in answer.get("links", ())}
    return {calls[name][:2] for name in links}


def done(inn: House) -> set[tuple[str, str]]:
    """Method and path of what was done, by the service's own figures."""
    counted = r'longtake_http_requests_total\{method="(\w+)",route="([^"]+)",status="2'
    return {(method, path.replace(":path", "")) for method, path in re.findall(counted, inn.metrics("api"))}


def figures(pattern: str, said: str) -> list[int]:
    found = re.search(pattern, said)
    assert found, said
    return [int(figure) for figure in found.groups()]
