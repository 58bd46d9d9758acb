"""Fixtures that every room's tests share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest

from models import catalog, families, imports
from models.model import Model
from tests.support import s3
from tests.support.s3 import S3Server
from tests.support.servers import Valkey


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "the experiments of tests/faults")
    group.addoption("--seeds", type=int, default=1, help="how often each is made")
    group.addoption("--jobs", type=int, default=12, help="videos that are ordered in each that orders many")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Every test module is imported here, in every process of the run."""
    with imports.that_stay():
        return (yield)


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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One real S3 server for the whole session, with the bucket `s3.BUCKET`."""
    if not s3.is_installed():
        pytest.skip("no S3 server here; `make s3-server` installs one")
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    server.client().create_bucket(Bucket=s3.BUCKET)
    yield server
    server.kill()


@pytest.fixture(scope="module", autouse=True)
def catalogue() -> Iterator[None]:
    """No module leaves the catalogue with models that it has added, or looks for families where it did."""
    everything = dict(catalog.MODELS)
    yield
    families.look_in(None)
    restore(everything)


@pytest.fixture
def withdraw() -> Iterator[Callable[[str], object]]:
    """Takes a model out of the catalogue for the length of a test."""
    everything = dict(catalog.MODELS)
    yield catalog.MODELS.pop
    restore(everything)


def restore(everything: dict[str, Model]) -> None:
    """The catalogue as it was, in the order it had."""
    catalog.MODELS.clear()
    catalog.MODELS.update(everything)
