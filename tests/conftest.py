"""Fixtures that every room's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers import Valkey


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One real server for the whole session."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Valkey) -> Iterator[str]:
    """The server's URL; the server is empty before each test."""
    redis_server.flush()
    yield redis_server.url
