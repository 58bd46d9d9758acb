"""/v1/videos/{id}/content: the files of a video, by redirect where storage serves them, else from here."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from service.api.deps import Services, ServicesDep, TenantDep, VideoId
from service.api.refusals import refuses
from service.errors import NotFound, NotReady, RangeNotSatisfiable, StorageUnavailable, Withheld
from service.jobs import Job, Segment
from service.policy import check_watchable

router = APIRouter(prefix="/v1/videos", tags=["videos"])

Variant = Literal["video", "preview", "thumbnail", "spritesheet"]
_TYPES = {"video": ("video/mp4", "mp4"), "preview": ("video/mp4", "mp4")}
_IMAGE = ("image/jpeg", "jpg")
_RANGE = re.compile(r"(?=.*[0-9])([0-9]{0,18})-([0-9]{0,18})")
FOR_AN_HOUR = {"Cache-Control": "private, max-age=3600"}


@router.head("/{video_id}/content", include_in_schema=False)
@router.get(
    "/{video_id}/content",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {"video/mp4": {}, "image/jpeg": {}}},
        206: {"description": "The range asked for."},
        304: {"description": "You have it."},
        307: {"description": "The storage has it, at a URL that works for a while."},
    },
)
@refuses(NotReady, RangeNotSatisfiable, Withheld, StorageUnavailable)
def content(
    video_id: VideoId, request: Request, use: ServicesDep, tenant: TenantDep, variant: Variant = "video"
) -> Response:
    """The finished video, its unrefined preview, or a picture of it. Of a video that was stopped: what was made."""
    job = use.store.get(tenant, video_id)
    check_watchable(job)
    media_type, ending = _TYPES.get(variant, _IMAGE)
    filename = f"{job.id}-{variant}.{ending}"
    if variant in job.artefacts:
        return file(use, job.artefacts[variant], filename, media_type, request)
    if not job.state.is_terminal:
        raise NotReady(f"The video is {job.state}; its {variant} is there when it is completed.", "variant")
    segments = _finished_part(use, job) if variant in _TYPES else []
    if not segments:
        raise NotFound(f"This video has no {variant}.", "variant")
    return _joined(use, segments, filename, request)


class RangedFile(FileResponse):
    """A file, or the part asked for. A `Range` that is none, or in another unit, is passed over: RFC 9110, 14.2.

    Raises `RangeNotSatisfiable` where nothing of the file is in it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_range(Headers(scope=scope).get("range", "")):
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}

        async def tell(message: Message) -> None:
            if message.get("status") == 416:
                raise RangeNotSatisfiable(Headers(raw=message["headers"])["content-range"])
            await send(message)

        await super().__call__(scope, receive, tell)


def is_range(header: str) -> bool:
    """Whether it asks for bytes, and for none that end before they begin."""
    unit, _, ranges = header.partition("=")
    parts = [_RANGE.fullmatch(part.strip()) for part in ranges.split(",")]
    ends = [(int(part[1] or 0), int(part[2])) for part in parts if part and part[1] and part[2]]
    return unit.strip().lower() == "bytes" and all(parts) and all(first <= last for first, last in ends)


def file(
    use: Services,
    key: str,
    filename: str,
    media_type: str,
    request: Request,
    headers: Mapping[str, str] = FOR_AN_HOUR,
) -> Response:
    """An object, from wherever it is; `headers` go with it where it is served from here."""
    if url := use.objects.presign(key, filename, media_type, request.method):
        return RedirectResponse(url, 307, headers={"Cache-Control": "no-store"})
    path = use.objects.local_path(key)
    assert path is not None, "storage without URLs has files"
    answer = RangedFile(
        path,
        media_type=media_type,
        filename=filename,
        stat_result=os.stat(path),
        content_disposition_type="inline",
        headers=headers,
    )
    return answer if is_news(request, answer.headers["etag"]) else unchanged(answer.headers["etag"])


def is_news(request: Request, etag: str) -> bool:
    """Whether what has that entity tag is not what the client says it has."""
    return request.headers.get("if-none-match") != etag


def unchanged(etag: str) -> Response:
    return Response(status_code=304, headers={"ETag": etag})


def _finished_part(use: Services, job: Job) -> list[Segment]:
    """The segments of the track that got furthest, the best of those."""
    made = [done.segment for done in use.store.finished_part(job.tenant, job.id) if done.segment]
    tracks = [[segment for segment in made if segment.track == track] for track in reversed(job.generation.tracks)]
    return max(tracks, key=lambda track: round(sum(segment.duration_s for segment in track), 3))


def _joined(use: Services, segments: list[Segment], filename: str, request: Request) -> Response:
    """Init and segments, one after the other, are a fragmented MP4 that plays as it is."""
    etag = '"' + hashlib.sha256("\n".join(segment.key for segment in segments).encode()).hexdigest()[:32] + '"'
    if not is_news(request, etag):
        return unchanged(etag)
    init = use.objects.get(segments[0].init_key)

    def pieces() -> Iterator[bytes]:
        yield init
        for segment in segments:
            yield use.objects.get(segment.key)

    length = len(init) + sum(segment.bytes for segment in segments)
    headers = {"Content-Length": str(length), "Content-Disposition": f'inline; filename="{filename}"', "ETag": etag}
    if request.method == "HEAD":
        return Response(media_type="video/mp4", headers=headers)
    return StreamingResponse(pieces(), media_type="video/mp4", headers=headers)
