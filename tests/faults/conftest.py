"""Experiments that could break a promise of docs/reliability.md, each once for every seed: `--seeds 20` is the long
form (`make faults`)."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.support.grounds import Grounds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    made = Grounds(tmp_path_factory.mktemp("grounds"))
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the experiments measured (`record_property`), over all that passed."""
    measured: dict[str, list[float]] = defaultdict(list)
    for report in terminalreporter.stats.get("passed", []):
        for name, seconds in report.user_properties:
            measured[name].append(float(seconds))
    for name, seconds in measured.items():
        told = f"median {statistics.median(seconds):.2f} s, most {max(seconds):.2f} s, {len(seconds)} times"
        terminalreporter.write_line(f"{name}: {told}")
