"""Objects as files of one folder. Knows nothing of what they hold."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

from service.errors import NotFound, StorageFull, StorageUnavailable
from service.objects import job_folder


class LocalObjects:
    """Objects as files. A new one is written beside its place, flushed to the disk, then renamed into it."""

    def __init__(self, root: Path):
        self.root = root
        with _local_failures():
            root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, body: bytes | Path, content_type: str = "application/octet-stream") -> None:
        path = self._path(key)
        with _local_failures(), _room():
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as new:
                try:
                    if isinstance(body, bytes):
                        new.write(body)
                    else:
                        with body.open("rb") as source:
                            shutil.copyfileobj(source, new)
                    new.flush()
                    os.fsync(new.fileno())
                    os.replace(new.name, path)
                except BaseException:
                    Path(new.name).unlink(missing_ok=True)
                    raise
            _sync_folder(path.parent)

    def get(self, key: str) -> bytes:
        with _local_failures(key):
            return self._path(key).read_bytes()

    def download(self, key: str, path: Path) -> None:
        with _local_failures(key):
            shutil.copyfile(self._path(key), path)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str) -> list[str]:
        folder = self._path(prefix.rpartition("/")[0] or ".")
        files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = (path.relative_to(self.root).as_posix() for path in files)
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, key: str) -> None:
        with _local_failures(key):
            self._path(key).unlink(missing_ok=True)

    def delete_prefix(self, prefix: str) -> int:
        keys = self.list(job_folder(prefix))
        with _local_failures():
            shutil.rmtree(self._path(prefix.rstrip("/")), ignore_errors=True)
        return len(keys)

    def abort_stale(self, age_s: float) -> int:
        with _local_failures():
            stale = [part for part in self.root.rglob(".*.part") if time.time() - part.stat().st_mtime > age_s]
            for part in stale:
                part.unlink(missing_ok=True)
        return len(stale)

    def presign(self, key: str, filename: str, content_type: str, method: str = "GET") -> str | None:
        return None

    def local_path(self, key: str) -> Path | None:
        path = self._path(key)
        if not path.is_file():
            raise NotFound(f"There is no object '{key}'.")
        return path

    def check(self) -> None:
        if not os.access(self.root, os.W_OK):
            raise StorageUnavailable("The storage folder cannot be written.")

    def _path(self, key: str) -> Path:
        path = self.root / PurePosixPath(key)
        if ".." in path.parts or not path.is_relative_to(self.root):
            raise ValueError(f"not an object key: {key!r}")
        return path


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _local_failures(key: str = "") -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"There is no object '{key}'.") from error
    except OSError as error:
        raise StorageUnavailable(f"The storage folder does not work: {error.strerror}.") from error


@contextmanager
def _room() -> Iterator[None]:
    """Around what stores something."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("The storage folder has no room left.") from error
        raise
