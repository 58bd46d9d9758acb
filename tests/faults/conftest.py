"""Experiments that could break a promise of docs/reliability.md, each once for every seed: `--seeds 20` is the long
form (`make faults`)."""

from __future__ import annotations

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
