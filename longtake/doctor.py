"""`longtake doctor`: what this machine, with these settings, is missing, and how to mend it.

Asks everything that a video will need, and changes nothing but one object that it stores and erases. Each check is one
function; a check that cannot be made here says why.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import redis
from rich.console import Console
from rich.table import Table

from longtake.operated import data_option, settings_of
from models import catalog, systems
from models.model import CatalogError, CheckpointError
from service import additions, ids
from service.errors import ServiceError
from service.objects import key, open_objects
from service.redaction import redact
from service.settings import Settings

FINE, NOTE, WRONG = "fine", "note", "wrong"
_STYLES = {FINE: "green", NOTE: "yellow", WRONG: "bold red"}
FREE_BYTES = 2 << 30  # of the data folder; less fills up in an afternoon
NO_WORKER = "the parts of a worker are not installed; a machine that only answers requests needs none"


@dataclass(frozen=True)
class Finding:
    """about: what was asked. grade: FINE, NOTE (works, but) or WRONG. mend: what to do, where something is wrong."""

    about: str
    grade: str
    said: str
    mend: str = ""


@click.command()
@data_option
def doctor(data: Path | None) -> None:
    """Ask everything that a video needs (job store, object storage, ffmpeg, GPU, weights, signing), and say how to mend
    what is wrong. Reads the same LONGTAKE_ settings as the service.

    \b
    Example:
      longtake doctor
      LONGTAKE_REDIS_URL=redis://redis:6379/0 longtake doctor
    """
    settings, found = settings_of(data), list[Finding]()
    shown = Table("", "", "", box=None, show_header=False, pad_edge=False)
    with Console(stderr=True).status("asking") as status:
        for check in CHECKS:
            status.update(f"{check.__name__.strip('_')} …")
            found += check(settings)
    for finding in found:
        told = finding.said + (f"\n[bold]→[/bold] {finding.mend}" if finding.mend else "")
        shown.add_row(finding.about, f"[{_STYLES[finding.grade]}]{finding.grade}[/]", told)
    Console().print(shown)
    if wrong := sum(finding.grade == WRONG for finding in found):
        raise click.ClickException(f"{wrong} of {len(found)} things are wrong.")


def store(settings: Settings) -> Iterator[Finding]:
    """Whether Redis answers, and loses nothing."""
    from service.database import connect

    place, client = redact(settings.redis_url), connect(settings)
    try:
        client.ping()
    except redis.AuthenticationError as error:
        yield Finding("job store", WRONG, f"{place}: {error}", "Put the user and password into LONGTAKE_REDIS_URL.")
        return
    except redis.RedisError as error:
        if "redis_url" in settings.model_fields_set:
            mend = "Start Redis or Valkey there, or set LONGTAKE_REDIS_URL to where it is."
            yield Finding("job store", WRONG, f"{place}: {error}", mend)
        else:
            yield Finding(
                "job store", NOTE, "LONGTAKE_REDIS_URL is not set; `longtake serve` starts a store of its own"
            )
        return
    finally:
        client.close()
    yield Finding("job store", FINE, f"{place} answers")
    yield from _keeps_all(settings)


def _keeps_all(settings: Settings) -> Iterator[Finding]:
    from service.database import connect

    client: Any = connect(settings)
    try:
        told = {**client.info("persistence"), **client.info("memory")}
    except redis.ResponseError:  # no permission, as `docker/users.acl` has it
        yield Finding("durability", NOTE, "this user may not ask; docker/redis.conf has what Redis must be")
        return
    finally:
        client.close()
    mend = "Start it with docker/redis.conf."
    if not told.get("aof_enabled"):
        yield Finding("durability", WRONG, "orders are in memory only, and are lost with Redis (appendonly no)", mend)
    elif (policy := told.get("maxmemory_policy", "noeviction")) != "noeviction":
        yield Finding("durability", WRONG, f"videos are evicted when memory is full (maxmemory-policy {policy})", mend)
    else:
        yield Finding("durability", FINE, "appendonly, noeviction")


def storage(settings: Settings) -> Iterator[Finding]:
    """Whether an object can be stored, read and erased."""
    place, probe = settings.objects_url, key("doctor", ids.new("video"), "probe")
    try:
        objects = open_objects(settings)
        objects.check()
        objects.put(probe, b"longtake")
        read = objects.get(probe)
        objects.delete(probe)
    except (ServiceError, OSError, ValueError) as error:
        mend = "Check LONGTAKE_STORAGE_URL, LONGTAKE_S3_*, and that this user may put, get, list and delete there."
        yield Finding("storage", WRONG, f"{place}: {redact(str(error.__cause__ or error))}", mend)
        return
    if read != b"longtake":
        yield Finding("storage", WRONG, f"{place} answers with other bytes than were stored", "Do not use it.")
        return
    yield Finding("storage", FINE, f"{place}: stored, read and erased an object")
    if place.startswith("file://") and (free := shutil.disk_usage(place.removeprefix("file://")).free) < FREE_BYTES:
        mend = "Make room, or set LONGTAKE_DATA_DIR or LONGTAKE_STORAGE_URL to a place with more."
        yield Finding("space", WRONG, f"{free / 1e9:.1f} GB are left for videos", mend)


def encoder(settings: Settings) -> Iterator[Finding]:
    """Whether ffmpeg is there and makes what players read."""
    try:
        import numpy as np
        from imageio_ffmpeg import get_ffmpeg_exe

        from workers import media
    except ImportError:
        yield Finding("ffmpeg", NOTE, NO_WORKER)
        return
    try:
        made = media.encode(np.zeros((2, 64, 64, 3), np.uint8), fps=8, first_frame=0)
    except (media.MediaError, RuntimeError, OSError) as error:
        mend = "`pip install --force-reinstall imageio-ffmpeg`, or IMAGEIO_FFMPEG_EXE=/path/to/ffmpeg with libx264."
        yield Finding("ffmpeg", WRONG, str(error), mend)
        return
    yield Finding("ffmpeg", FINE, f"{get_ffmpeg_exe()} encodes {media.codecs(made.init)}")


def device(settings: Settings) -> Iterator[Finding]:
    """What computes."""
    try:
        import torch
    except ImportError:
        yield Finding("device", NOTE, NO_WORKER)
        return
    if settings.device in ("auto", "cpu") and not torch.cuda.is_available():
        said = f"torch {torch.__version__} on the CPU: fine for the bundled models, too slow for the published ones"
        mend = "" if settings.device == "cpu" or torch.version.cuda is None else "torch sees no GPU: run nvidia-smi."
        yield Finding("device", NOTE, said, mend)
        return
    try:
        made = torch.zeros(1, device=None if settings.device == "auto" else settings.device) + 1
        where = torch.device("cuda") if settings.device == "auto" else made.device
    except (RuntimeError, AssertionError) as error:
        mend = "LONGTAKE_DEVICE is `auto`, `cpu`, `cuda` or `cuda:1`, …; a GPU needs a torch that was built for it."
        yield Finding("device", WRONG, f"LONGTAKE_DEVICE={settings.device}: {str(error).splitlines()[0]}", mend)
        return
    if where.type == "cuda":
        card = torch.cuda.get_device_properties(where)
        yield Finding("device", FINE, f"{card.name}, {card.total_memory / 2**30:.0f} GiB, torch {torch.__version__}")
    else:
        yield Finding("device", FINE, f"{where}, torch {torch.__version__}")


def weights(settings: Settings) -> Iterator[Finding]:
    """Whether the named checkpoints are there, and which models that offers."""
    try:
        additions.settle(settings)
    except CatalogError as error:
        yield Finding("models", WRONG, str(error), "Mend the file, or add its models again: `longtake models add`.")
    known = sorted(_places())
    for name, place in settings.checkpoints.items():
        if name in known:
            yield _placed(name, place)
            continue
        near = difflib.get_close_matches(name, known, 1)
        mend = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
        yield Finding("weights", WRONG, f"LONGTAKE_CHECKPOINTS: no weights go by the name of '{name}'", mend)
    for name in sorted({*settings.pools} - {*catalog.MODELS}):
        near = difflib.get_close_matches(name, catalog.MODELS, 1)
        mend = f"Did you mean {near[0]}?" if near else f"There are {', '.join(catalog.MODELS)}."
        yield Finding("models", WRONG, f"LONGTAKE_POOLS: no model goes by the name of '{name}'", mend)
    for added in (model for model in catalog.MODELS.values() if model.family):
        yield _placed(added.name, added.checkpoint)
    offered = catalog.offered(settings.checkpoints)
    yield Finding("models", FINE, f"{', '.join(offered)} can be asked for")


def _placed(name: str, place: str) -> Finding:
    try:
        from models.loading import find_checkpoint
    except ImportError:
        return Finding("weights", NOTE, f"{name}: {place}, for a worker to look at; {NO_WORKER}")
    try:
        found = find_checkpoint(place)
    except CheckpointError as error:
        return Finding("weights", WRONG, f"{name}: {error}", "`longtake convert --help` makes such a folder.")
    kind = "" if Path(found).is_dir() else ", fetched from the Hub when it is first used"
    return Finding("weights", FINE, f"{name}: {found}{kind}")


def _places() -> set[str]:
    """Every name by which weights can be placed."""
    models = catalog.MODELS.values()
    named = {name for model in models for name in model.weights}
    others = {model.place(s) for model in models for s in {*model.first_chunks, *model.streamers} - systems.OWNED}
    return named | {model.place(systems.MAKE_A_VIDEO) for model in models} | others


def signing(settings: Settings) -> Iterator[Finding]:
    """Whether finished videos can be signed, where they are to be."""
    try:
        from workers import provenance
        from workers.settings import WorkerSettings
    except ImportError:
        return
    worker = WorkerSettings()
    if worker.c2pa_certificate is None:
        said = "finished videos say in plain metadata that a machine made them; LONGTAKE_C2PA_CERTIFICATE would sign it"
        yield Finding("signing", NOTE, said)
        return
    try:
        provenance.check(worker)
    except Exception as error:  # whatever the library has against these files
        mend = "See docs/policy.md for what certificate and key must be."
        yield Finding("signing", WRONG, f"{worker.c2pa_certificate}: {error}", mend)
        return
    yield Finding("signing", FINE, f"with {worker.c2pa_certificate}")


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    store,
    storage,
    encoder,
    device,
    weights,
    signing,
)
