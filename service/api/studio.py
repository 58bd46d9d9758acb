"""GET /: the studio, a page that orders videos and plays them. Static files; the key stays in the browser."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from service.api.deps import ServicesDep
from service.errors import NotFound
from service.settings import Settings

router = APIRouter(include_in_schema=False)

_FILES = {
    "index.html": "text/html",
    "studio.js": "text/javascript",
    "studio.css": "text/css",
    "icon.svg": "image/svg+xml",
}


@router.get("/")
def index(use: ServicesDep) -> Response:
    return _file("index.html", use.settings)


@router.get("/studio/{name}")
def file(name: str, use: ServicesDep) -> Response:
    if name not in _FILES:
        raise NotFound("The studio has no such file.")
    return _file(name, use.settings)


def _file(name: str, settings: Settings) -> Response:
    headers = {
        "Content-Security-Policy": policy(settings),
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    with resources.as_file(resources.files("service") / "studio" / name) as path:
        return FileResponse(path, media_type=_FILES[name], headers=headers)


def policy(settings: Settings) -> str:
    """Nothing from elsewhere, nothing inline; videos may come from the object storage."""
    storage = settings.s3_endpoint_url or "https://*.amazonaws.com"
    connect = f"'self' {storage}" if settings.objects_url.startswith("s3://") else "'self'"
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src {connect}; img-src 'self' blob:; "
        "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
