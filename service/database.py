"""The connection to Redis: short time-outs, scripts by name, its failures as ours. Knows nothing of jobs.

A command is never sent twice by itself: a claim that timed out may have been made. The caller may ask again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, TimeoutError
from redis.retry import Retry

from service.errors import StoreFull, StoreUnavailable
from service.keys import lua_table
from service.settings import Settings


def connect(settings: Settings) -> redis.Redis:
    """A client for `Store` and the others; no connection is made until it is used."""
    return redis.Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_timeout=settings.redis_timeout_s,
        socket_connect_timeout=settings.redis_timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


class Database:
    """Commands and scripts of one server."""

    def __init__(self, client: redis.Redis):
        if not client.connection_pool.connection_kwargs.get("decode_responses"):
            raise ValueError("the store needs a client with decode_responses=True; service.database.connect makes one")
        self._client: Any = client  # redis types every command for its sync and its async client at once
        self._scripts: dict[str, Any] = {}

    def command(self, *words: Any) -> Any:
        with failures():
            return self._client.execute_command(*words)

    def run(self, script: str, *arguments: Any) -> Any:
        """One of service/lua/*.lua, as one atomic step."""
        if script not in self._scripts:
            self._scripts[script] = self._client.register_script(source(script))
        with failures():
            return self._scripts[script](args=arguments)


def source(script: str) -> str:
    """A script with the key names and the shared steps before it.

    When memory runs out new videos are refused, and everything else still runs, so that the old ones can end.
    """
    folder = resources.files("service") / "lua"
    texts = [(folder / f"{name}.lua").read_text("utf-8") for name in ("steps", script)]
    flags = [] if script == "submit" else ["#!lua flags=allow-oom"]
    return "\n".join([*flags, lua_table(), *texts])


@contextmanager
def failures() -> Iterator[None]:
    """Redis errors that are no bug of ours become `StoreUnavailable` or `StoreFull`."""
    try:
        yield
    except OutOfMemoryError as error:
        raise StoreFull("The job store has no memory left for new videos; try again later.") from error
    except (ConnectionError, TimeoutError, ReadOnlyError) as error:
        raise StoreUnavailable("The job store does not answer; try again in a moment.") from error


def as_mapping(flat: list[str]) -> dict[str, str]:
    """A hash as scripts return it: name, value, name, value, ..."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
