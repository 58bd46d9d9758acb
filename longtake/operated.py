"""The service that an operator's command is about: the one of `--data`, else the one of the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from longtake import valkey
from service.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def data_option(command: Command) -> Command:
    """--data, for every command that works in the Redis of the service."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help="The data folder of a `longtake serve` that runs; else the Redis of LONGTAKE_REDIS_URL.",
    )(command)


def settings_of(data: Path | None) -> Settings:
    settings = Settings()
    if data is None:
        return settings
    server = valkey.running(data / "valkey")
    if server is None:
        raise click.ClickException(f"No `longtake serve` runs on {data}.")
    return settings.model_copy(update={"redis_url": server.url, "data_dir": data})
