"""Supply chain: no version below one that is known to be unsafe, and every version as it was tested.

An audit asks databases that a test may not reach; these floors stand in for it. Where you can reach them, run
`pip-audit --strict -r requirements.lock` beside it.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.processes import ROOT

#: The first version without what is known of those before.
FLOORS = {
    "torch": "2.6",  # CVE-2025-32434: weights_only could be passed by
    "diffusers": "0.38",  # CVE-2026-44513, CVE-2026-45804: so could trust_remote_code
    "safetensors": "0.8",
    "pillow": "12.3",  # CVE-2026-40192, CVE-2026-42311, bombs in PDF
    "starlette": "1.3.1",  # CVE-2024-47874, CVE-2025-54121, CVE-2025-62727, CVE-2026-48710
    "kombu": "5.7",
    "celery": "5.7",
}


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)", line) for line in lines if not line.startswith("#")]
    assert all(pins), "one exact version a line, from no place of its own"
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}


def wanted() -> list[Requirement]:
    """All that pyproject.toml asks for, of whatever part."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("name", FLOORS)
def test_what_is_installed_and_what_is_locked_is_not_below_its_floor(name: str) -> None:
    floor = Version(FLOORS[name])
    assert Version(version(name)) >= floor and Version(locked()[name]) >= floor


@pytest.mark.parametrize("name", FLOORS)
def test_nobody_who_installs_without_the_lock_gets_less(name: str) -> None:
    """kombu comes with celery, which asks for its own."""
    below = [r for r in wanted() if canonicalize_name(r.name) == name and r.specifier.contains("0.0.1")]
    assert not below
    assert name == "kombu" or any(canonicalize_name(r.name) == name for r in wanted())
    for requirement in wanted():
        if canonicalize_name(requirement.name) == name:
            least = min(Version(s.version) for s in requirement.specifier if s.operator in (">=", "==", "~="))
            assert least >= Version(FLOORS[name])


def test_the_lock_has_all_that_is_asked_for_in_a_version_that_is_asked_for() -> None:
    pins = locked()
    for requirement in wanted():
        name = canonicalize_name(requirement.name)
        assert requirement.url is None and requirement.specifier.contains(pins[name], prereleases=True), requirement


def test_what_is_installed_is_what_is_locked() -> None:
    drifted = {name: (pin, version(name)) for name, pin in locked().items() if version(name).split("+")[0] != pin}
    assert drifted == {}
