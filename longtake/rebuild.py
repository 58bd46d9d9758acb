"""`longtake rebuild`: what a lost job store had, from what object storage has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from longtake.operated import data_option, settings_of
from service import additions
from service.database import connect
from service.ledger import Ledger
from service.objects import open_objects


@click.command()
@data_option
@click.option("--quiet", is_flag=True, help="Print the figures alone, not a line for each video.")
def rebuild(data: Path | None, quiet: bool) -> None:
    """Bring back tenants, keys and videos into a job store that has lost them, from the object storage of the settings.

    Finished videos can be fetched again at once; the others wait for a worker, who goes on with what was filed of them.
    Stop the API and the workers before, and start them after it; a `longtake serve`, named by --data, must run for its
    store to run, so let nobody order meanwhile. It may be run again: what the store has is left.

    \b
    Example:
      longtake rebuild
      longtake rebuild --data data --quiet
    """
    settings = settings_of(data)
    additions.settle(settings)
    ledger, counts = Ledger(connect(settings), settings, open_objects(settings)), Counter[str]()
    for outcome, job in ledger.rebuild():
        counts[outcome] += job is not None
        if job is not None and not quiet:
            click.echo(f"{job.id}  {job.state}: {outcome}")
    click.echo(f"{counts['ended']} at their end, {counts['goes on']} go on, {counts['there']} were there.")
