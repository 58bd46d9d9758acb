"""`longtake keys`: create, list and revoke API keys, in the Redis of the service."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from longtake import valkey
from service.database import connect
from service.settings import Settings
from service.tenants import DEFAULT_TENANT, Tenants


@click.group()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder of a `longtake serve` that runs; else the Redis of LONGTAKE_REDIS_URL.",
)
@click.pass_context
def keys(ctx: click.Context, data: Path | None) -> None:
    """Create, list and revoke API keys.

    \b
    Example:
      longtake keys --data data create --tenant studio --name "render farm"
      longtake keys --data data list
      longtake keys --data data revoke key_01J...
    """
    ctx.obj = data


@keys.command()
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose key; made if need be.")
@click.option("--name", default="", help="What the key is for.")
@click.pass_obj
def create(data: Path | None, tenant: str, name: str) -> None:
    """Print a new key. It is shown this once."""
    _, token = tenants(data).create_key(tenant, name)
    click.echo(token)


@keys.command("list")
@click.pass_obj
def list_keys(data: Path | None) -> None:
    """Print every key's id, age, name and whether it opens the door."""
    known = tenants(data).keys()
    for key in known:
        made = datetime.fromtimestamp(key.created_at, UTC).strftime("%Y-%m-%d %H:%M")
        click.echo(f"{key.id}  {made}  {'revoked' if key.revoked_at else 'valid  '}  {key.tenant}  {key.name}")


@keys.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(data: Path | None, key_id: str) -> None:
    """Make a key useless, at once and for good."""
    tenants(data).revoke(key_id)
    click.echo(f"{key_id} is revoked")


def tenants(data: Path | None) -> Tenants:
    settings = Settings()
    if data is not None:
        server = valkey.running(data / "valkey")
        if server is None:
            raise click.ClickException(f"No `longtake serve` runs on {data}.")
        settings = settings.model_copy(update={"redis_url": server.url})
    return Tenants(connect(settings), settings)
