"""GET /: the studio, a page that orders videos and plays them. Static files; the key stays in the browser.

What a file is and how long it is kept is told by its place: what is under vendor/ carries its version in its name and
never changes, all else is asked for again and answered by 304 where it is the same.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response

from service.api.deps import ServicesDep
from service.errors import NotFound
from service.settings import Settings

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parents[1] / "studio"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",  # LICENSE
}
ASK_AGAIN = "no-cache"
FOR_GOOD = "public, max-age=31536000, immutable"

AcceptEncoding = Annotated[str, Header()]
IfNoneMatch = Annotated[str, Header()]


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    zipped: bytes
    etag: str  # weak: it is the same for both of them


@router.get("/")
def index(use: ServicesDep, accept_encoding: AcceptEncoding = "", if_none_match: IfNoneMatch = "") -> Response:
    return _send("index.html", use.settings, accept_encoding, if_none_match)


@router.get("/studio/{name:path}")
def file(
    name: str, use: ServicesDep, accept_encoding: AcceptEncoding = "", if_none_match: IfNoneMatch = ""
) -> Response:
    return _send(name, use.settings, accept_encoding, if_none_match)


def _send(name: str, settings: Settings, accept_encoding: str, if_none_match: str) -> Response:
    path = FOLDER / name
    if path not in files():
        raise NotFound("The studio has no such file.")
    asset = _asset(path, path.stat().st_mtime_ns)
    headers = {
        "Content-Security-Policy": policy(settings),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": FOR_GOOD if name.startswith("vendor/") else ASK_AGAIN,
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
    }
    if asset.etag in if_none_match:
        return Response(status_code=304, headers=headers)
    if "gzip" in accept_encoding:
        return Response(asset.zipped, media_type=_TYPES[path.suffix], headers=headers | {"Content-Encoding": "gzip"})
    return Response(asset.body, media_type=_TYPES[path.suffix], headers=headers)


@lru_cache(1)
def files() -> frozenset[Path]:
    """Everything that is served: nothing that is not in the folder can be named."""
    return frozenset(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix in _TYPES)


@lru_cache(100)
def _asset(path: Path, mtime_ns: int) -> Asset:
    body = path.read_bytes()
    return Asset(body, gzip.compress(body, mtime=0), f'W/"{hashlib.sha256(body).hexdigest()[:32]}"')


def policy(settings: Settings) -> str:
    """Nothing from elsewhere, nothing inline, no text that becomes code; videos may come from the object storage."""
    sources = "'self'"
    if settings.objects_url.startswith("s3://"):
        sources = f"'self' {settings.s3_public_url or settings.s3_endpoint_url or 'https://*.amazonaws.com'}"
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src {sources}; img-src 'self' blob:; "
        f"media-src {sources} blob:; worker-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
