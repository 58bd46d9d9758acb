"""Hostile pictures: bombs, other formats and damaged files are refused within a second and with little memory."""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from models import pictures
from service.objects import Objects
from service.store import Store
from tests.service.api.conftest import problem
from tests.service.api.test_pictures import GRADIENT, file, left, storage, tenant, upload

__all__ = ["storage", "tenant"]  # fixtures


def header_of(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds nothing of it."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\1\0IDAT"


def zeros(width: int, height: int) -> bytes:
    """A whole PNG of one colour: small to send, large to unpack."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, rows = zlib.compressobj(9), bytearray()
    for _ in range(height):
        rows += packer.compress(bytes(1 + width // 8))
    rows += packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", bytes(rows)) + chunk(b"IEND", b"")


def canvas_of(side: int) -> bytes:
    """An animated WebP of 140 bytes that wants a canvas of that size."""
    other = Image.new("RGB", GRADIENT.size)
    moving = bytearray(file(Image.new("RGB", GRADIENT.size, "red"), "WEBP", save_all=True, append_images=[other]))
    assert moving[12:16] == b"VP8X"
    moving[24:30] = struct.pack("<I", side - 1)[:3] * 2
    return bytes(moving)


def zipped() -> bytes:
    """An archive: its list of contents is at its end, so whoever opens the picture as one finds it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.html", "<script>alert(1)</script>")
    return archive.getvalue()


def with_text(size: int) -> bytes:
    """A PNG with a comment that unpacks to so many bytes."""
    comment = b"Comment\0\0" + zlib.compress(bytes(size), 9)
    chunk = struct.pack(">I", len(comment)) + b"zTXt" + comment + struct.pack(">I", zlib.crc32(b"zTXt" + comment))
    picture = file()
    return picture[:33] + chunk + picture[33:]


MANY = [Image.new("RGB", (64, 48), (n % 256, n // 256, 0)) for n in range(999)]
HOSTILE = {
    "empty": (b"", "image_unreadable"),
    "text": (b"hello", "image_unreadable"),
    "GIF": (file(kind="GIF"), "image_unreadable"),
    "TIFF": (file(kind="TIFF"), "image_unreadable"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "image_unreadable"),
    "PDF": (b"%PDF-1.7\n" + bytes(1000), "image_unreadable"),
    "FITS": (b"SIMPLE  =                    T".ljust(2880), "image_unreadable"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image_unreadable"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "image_unreadable"),
    "wrong magic": (b"\x89PNG\r\n\x1a\n" + file(kind="JPEG"), "image_unreadable"),
    "JPEG in a PNG's clothes": (b"\xff\xd8" + file(), "image_unreadable"),
    "cut PNG": (file()[:-100], "image_unreadable"),
    "cut JPEG": (file(kind="JPEG")[:-100], "image_unreadable"),
    "cut WebP": (file(kind="WEBP")[:-100], "image_unreadable"),
    "wrong checksum": (file()[:40] + b"\0\0\0\0" + file()[44:], "image_unreadable"),
    "too small": (file(Image.new("RGB", (4, 4))), "image_unreadable"),
    "sliver": (file(Image.new("RGB", (5000, 8))), "image_unreadable"),
    "header of 60000 x 60000": (header_of(60_000, 60_000), "image_too_large"),
    "header of 2 GB a row": (header_of(2**31 - 1, 1), "image_too_large"),
    "canvas of 16383 x 16383": (canvas_of(16_383), "image_too_large"),
    "bomb of 12000 x 12000": (zeros(12_000, 12_000), "image_too_large"),  # Pillow itself would read this one
    "bomb of 30000 x 30000": (zeros(30_000, 30_000), "image_too_large"),
}


def peak_bytes(*, afresh: bool = False) -> int:
    """The most memory that this process has had; with `afresh` from now on."""
    if afresh:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return int(status.split()[0]) * 1024


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_picture_is_refused_at_once_and_leaves_nothing(
    api: TestClient, store: Store, tenant: str, storage: Objects, name: str
) -> None:
    content, code = HOSTILE[name]
    before = peak_bytes(afresh=True)
    start = time.monotonic()
    said = problem(upload(api, content), 422, code, "input_reference")
    assert time.monotonic() - start < 1 and said.endswith(".") and "Traceback" not in said
    assert peak_bytes() - before < 100_000_000
    assert not store.has_work() and left(storage, tenant) == []


ODD = {
    "1000 frames": file(GRADIENT, "WEBP", save_all=True, append_images=MANY, quality=1),
    "an archive behind it": file() + zipped(),
    "a page behind it": file() + b"<script>alert(1)</script>#EXTM3U",
    "text that unpacks to 60 MB": with_text(60_000_000),
}


@pytest.mark.parametrize("name", ODD)
def test_of_a_picture_that_is_more_than_one_only_the_picture_is_read_and_kept(
    api: TestClient, store: Store, tenant: str, storage: Objects, name: str
) -> None:
    """Its first frame, its pixels: whatever else the file has is not unpacked, and not stored."""
    before = peak_bytes(afresh=True)
    start = time.monotonic()
    answer = upload(api, ODD[name])
    assert time.monotonic() - start < 1 and peak_bytes() - before < 100_000_000
    if answer.status_code != 202:
        problem(answer, 422, "image_unreadable", "input_reference")
        return
    (kept,) = left(storage, tenant)
    png = storage.get(kept)
    assert png.endswith(b"IEND\xaeB`\x82") and not any(mark in png for mark in (b"script", b"PK\x03\x04", b"tEXt"))
    assert pictures.decode(png).size == GRADIENT.size
