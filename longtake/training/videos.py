"""Training clips from people's own footage: a folder of video files with captions, or tar shards of the same.

Owns what is found in a folder and which part of a file a clip is; the decoding is `workers.media`'s. A video `NAME.mp4`
has its caption in `NAME.txt` beside it, in a folder as in a shard (WebDataset's naming).
"""

from __future__ import annotations

import functools
import random
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import torch

from longtake.training.clips import Drawn
from workers import media

SUFFIXES = frozenset({".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v"})
TRIES = 200


class FootageError(ValueError):
    """A folder of videos that cannot be trained on; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Take:
    """One video and its caption. `shard_offset`: where its bytes begin in `path`, a shard; None where it is a file."""

    path: Path
    caption: str
    name: str
    shard_offset: int | None = None
    shard_bytes: int = 0

    @contextmanager
    def file(self) -> Iterator[Path]:
        """The video as a file of its own."""
        if self.shard_offset is None:
            yield self.path
            return
        with self.path.open("rb") as shard, tempfile.NamedTemporaryFile(suffix=Path(self.name).suffix) as copy:
            shard.seek(self.shard_offset)
            copy.write(shard.read(self.shard_bytes))
            copy.flush()
            yield Path(copy.name)


class VideoSource:
    """Random clips of a folder's videos, at `fps` frames a second, cut to the middle square of `size` pixels.

    The paper samples at 3 fps and 256 pixels (StreamingT2V, arXiv 2403.14773, appendix).
    """

    def __init__(self, folder: Path, *, size: int, fps: float):
        self.folder, self.size, self.fps = folder, size, fps
        self.takes = find_takes(folder)

    def clip(self, rng: random.Random, frames: Sequence[int]) -> Drawn:
        """Frames of a clip that begins anywhere in a video where all of them fit. Raises `FootageError`."""
        span_s = (frames[-1] + 1) / self.fps
        for _ in range(TRIES):
            take = rng.choice(self.takes)
            room_s = duration_s(take) - span_s
            at_s = rng.uniform(0, max(0.0, room_s))
            if room_s < 0:
                continue
            with take.file() as video:
                read = media.clip(video, at_seconds=at_s, fps=self.fps, size=self.size, count=frames[-1] + 1)
            if len(read) > frames[-1]:
                pixels = torch.from_numpy(read[list(frames)]).movedim(-1, 1).float() / 127.5 - 1
                return Drawn(pixels, take.caption)
        raise FootageError(f"{self.folder} has no video of {span_s:g} s or more ({TRIES} random ones were tried).")


def find_takes(folder: Path) -> list[Take]:
    """Every video below `folder`, in files and in *.tar shards, by name. Raises `FootageError`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    loose = {path.relative_to(folder).as_posix(): path for path in files}
    takes = [
        Take(path, _text(path.with_suffix(".txt"), path.name), name)
        for name, path in loose.items()
        if path.suffix.lower() in SUFFIXES
    ]
    for shard in (path for path in files if path.suffix == ".tar"):
        takes += _takes_of(shard)
    if not takes:
        raise FootageError(f"{folder} holds no video: files {', '.join(sorted(SUFFIXES))}, or *.tar shards of them.")
    return takes


@functools.cache
def duration_s(take: Take) -> float:
    """How long a take is. Raises `FootageError` where ffmpeg reads no video."""
    try:
        with take.file() as video:
            return media.duration_s(video)
    except media.MediaError as error:
        raise FootageError(f"{take.path} ({take.name}) is no video that ffmpeg reads: {error}") from error


def _takes_of(shard: Path) -> list[Take]:
    try:
        with tarfile.open(shard) as tar:
            members = {member.name: member for member in tar if member.isfile()}
            return [
                Take(shard, _member_text(tar, members, name), name, member.offset_data, member.size)
                for name, member in members.items()
                if PurePosixPath(name).suffix.lower() in SUFFIXES
            ]
    except tarfile.TarError as error:
        raise FootageError(f"{shard} is no whole tar file: {error}") from error


def _member_text(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> str:
    caption = members.get(str(PurePosixPath(name).with_suffix(".txt")))
    stream: IO[bytes] | None = tar.extractfile(caption) if caption else None
    if stream is None:
        wanted = PurePosixPath(name).with_suffix(".txt")
        raise FootageError(f"{tar.name!s}: {name} has no caption; put it into {wanted}.")
    return stream.read().decode().strip()


def _text(path: Path, video: str) -> str:
    if not path.is_file():
        raise FootageError(f"{video} has no caption; put it into {path}.")
    return path.read_text().strip()
