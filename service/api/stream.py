"""/v1/videos/{id}/stream.m3u8: a video to watch, while it is made and after.

A refined video has two renditions and so a master playlist; any other is one media playlist, which every player
opens in one request less. What a playlist names are URIs of ours that storage serves: none of them says where.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from service import playlists
from service.api.content import file
from service.api.deps import Services, ServicesDep, VideoId
from service.api.problems import problem_response, request_id_of
from service.api.refusals import refuses
from service.api.views import Viewer, ViewerDep
from service.errors import NotFound, ServiceError, Withheld
from service.feeds import Feeds
from service.jobs import Job, Segment
from service.policy import check_watchable
from service.reels import Reels

Track = Literal["preview", "refined", "interpolated", "upscaled"]

GET_OR_HEAD = ["GET", "HEAD"]
NEVER_CACHED = {"Cache-Control": "no-store"}
NEVER_CHANGES = {"Cache-Control": "private, max-age=86400, immutable"}


class FromAnywhere(APIRoute):
    """A route that pages of other origins may read, refusals included; no cookie opens anything here."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_openly(request: Request) -> Response:
            try:
                answer = await handle(request)
            except ServiceError as error:
                answer = problem_response(error, request_id_of(request))
            answer.headers["Access-Control-Allow-Origin"] = "*"
            return answer

        return handle_openly


router = APIRouter(prefix="/v1/videos", tags=["videos"], route_class=FromAnywhere)


@router.head("/{video_id}/stream.m3u8", include_in_schema=False)
@router.get(
    "/{video_id}/stream.m3u8",
    response_class=Response,
    responses={200: {"description": "A playlist.", "content": {playlists.MEDIA_TYPE: {}}}},
)
@refuses(Withheld)
async def stream(video_id: VideoId, request: Request, use: ServicesDep, who: ViewerDep) -> Response:
    """Watch the video from its first frame on, also while it is made. Any HLS player can; the key may be in the URL."""
    reels: Reels = request.app.state.reels
    job, tracks = await run_in_threadpool(_look, use, reels, who, video_id)
    if not any(tracks.values()) and not job.state.is_terminal:
        await _something_to_see(request.app.state.feeds, video_id, use.settings.playlist_hold_s)
        job, tracks = await run_in_threadpool(_look, use, reels, who, video_id)
    if job.state.is_terminal and not any(tracks.values()):
        raise NotFound(f"The video {job.state} before there was anything to see.", "id")
    if len(job.generation.tracks) > 1:
        return _playlist(playlists.master(job, tracks, who.link))
    return _playlist(playlists.media(job, tracks["preview"], who.link))


@router.api_route("/{video_id}/{track}.m3u8", methods=GET_OR_HEAD, include_in_schema=False)
def rendition(video_id: VideoId, track: Track, request: Request, use: ServicesDep, who: ViewerDep) -> Response:
    job, tracks = _look(use, request.app.state.reels, who, video_id)
    return _playlist(playlists.media(job, tracks[track], who.link))


@router.api_route("/{video_id}/segments/{track}/{first_frame:int}.m4s", methods=GET_OR_HEAD, include_in_schema=False)
def segment(
    video_id: VideoId, track: Track, first_frame: int, request: Request, use: ServicesDep, who: ViewerDep
) -> Response:
    found = _segment(use, request, who, video_id, track, first_frame)
    return file(use, found.key, f"{track}-{first_frame}.m4s", "video/iso.segment", request, NEVER_CHANGES)


@router.api_route("/{video_id}/segments/{track}/{first_frame:int}.mp4", methods=GET_OR_HEAD, include_in_schema=False)
def init(
    video_id: VideoId, track: Track, first_frame: int, request: Request, use: ServicesDep, who: ViewerDep
) -> Response:
    found = _segment(use, request, who, video_id, track, first_frame)
    return file(use, found.init_key, f"{track}-{first_frame}.mp4", "video/mp4", request, NEVER_CHANGES)


async def _something_to_see(feed: Feeds, video_id: str, hold_s: float) -> None:
    """Returns with the first chunk, with the end of the video, or after `hold_s`; thousands may wait, on nothing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(hold_s), aclosing(feed.listen(video_id).events()) as told:
            async for event in told:
                if event and event.kind == "video.chunk.completed":
                    return


def _look(use: Services, reels: Reels, who: Viewer, video_id: str) -> tuple[Job, dict[str, list[Segment]]]:
    job = use.store.get(who.tenant, video_id)
    check_watchable(job)
    return job, reels.tracks(job)


def _segment(use: Services, request: Request, who: Viewer, video_id: str, track: Track, first_frame: int) -> Segment:
    _, tracks = _look(use, request.app.state.reels, who, video_id)
    for found in tracks[track]:
        if found.first_frame == first_frame:
            return found
    raise NotFound(f"No segment of this video's {track} begins at frame {first_frame}.")


def _playlist(text: str) -> Response:
    return Response(text, media_type=playlists.MEDIA_TYPE, headers=NEVER_CACHED)
