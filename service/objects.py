"""Object storage: one interface, a local folder and S3 behind it, and the only place that makes object keys.

Keys are made from validated ids alone, never from what a user wrote. A written object is whole or absent.
Knows nothing of jobs, HTTP routes or tensors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from service.settings import Settings

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def key(tenant: str, job_id: str, *parts: str) -> str:
    """`tenant/job/part/...`; ValueError for anything that could leave that folder."""
    names = (tenant, job_id, *parts)
    for name in names:
        if not _PART.fullmatch(name):
            raise ValueError(f"not a part of an object key: {name!r}")
    return "/".join(names)


class Objects(Protocol):
    """What both storages do. They raise `StorageUnavailable`, and `NotFound` for an object that is absent."""

    def put(self, key: str, body: bytes | Path, content_type: str = "application/octet-stream") -> None: ...
    def get(self, key: str) -> bytes: ...
    def download(self, key: str, path: Path) -> None: ...
    def exists(self, key: str) -> bool: ...
    def list(self, prefix: str) -> list[str]:
        """Every key that begins with `prefix`, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Erase one object; one that is absent is no error."""
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Erase every object of the folder `prefix`, which ends with a slash; how many there were."""
        ...

    def abort_stale(self, age_s: float) -> int:
        """Erase what is stored of objects whose writing began so long ago and never ended; how many there were."""
        ...

    def presign(self, key: str, filename: str, content_type: str, method: str = "GET") -> str | None:
        """A URL that serves the object for a while, to whoever has it; None where storage has no URLs.

        It is signed for one method, GET or HEAD.
        """
        ...

    def local_path(self, key: str) -> Path | None:
        """Where the object is on this machine; None where it is elsewhere."""
        ...

    def check(self) -> None:
        """Raises `StorageUnavailable` where nothing could be stored now."""
        ...


def job_folder(prefix: str) -> str:
    if not prefix.endswith("/") or prefix.count("/") < 2:
        raise ValueError(f"not the folder of one job: {prefix!r}")
    return prefix


def open_objects(settings: Settings) -> Objects:
    """The storage that the settings name; boto3 is loaded where it is S3."""
    from service.objects_local import LocalObjects
    from service.objects_s3 import S3Objects

    url = urlsplit(settings.objects_url)
    if url.scheme == "s3":
        return S3Objects(settings, bucket=url.netloc, prefix=url.path.strip("/"))
    return LocalObjects(Path(unquote(url.path)))
