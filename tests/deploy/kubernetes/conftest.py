"""Every test of an overlay is made with each."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from tests.support.manifests import OVERLAYS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "overlay" in metafunc.fixturenames:
        metafunc.parametrize("overlay", OVERLAYS)


@pytest.fixture(scope="session")
def custom() -> dict[str, type[BaseModel]]:
    """Kinds that KEDA and the Prometheus operator bring, by the schemas of their definitions (seconds to load)."""
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule

    return {kind.__name__: kind for kind in (ScaledObject, PodMonitor, PrometheusRule)}
