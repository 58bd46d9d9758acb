"""/v1/videos/{id}/events: what happens to a video, as server-sent events.

Whoever comes back with the last id it has seen is told what it missed; at the end the stream closes, and whoever
comes back then is told by a 204 to stay away, which browsers' EventSource does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Send

from service import feeds
from service.api.deps import Services, ServicesDep, VideoId
from service.api.refusals import refuses
from service.api.stream import FromAnywhere
from service.api.views import View, ViewDep, Viewer, ViewerDep
from service.errors import InvalidRequest, NotFound
from service.feeds import Event, Feeds
from service.videos import progress

router = APIRouter(prefix="/v1/videos", tags=["videos"], route_class=FromAnywhere)
log = logging.getLogger(__name__)

SLOW_S = 20.0  # a client that takes nothing for so long is left; it may come back for what it missed
COME_BACK_MS = 1000
_PLACE = re.compile(r"[0-9]{1,15}(-[0-9]{1,15})?")
_SHAPE: dict[str, Any] = {"pattern": f"^({_PLACE.pattern})?$"}  # nothing is from the start on
_STATES = ("video.in_progress", *feeds.ENDS)
#: What a ticket shows of the video object: what can be seen in the frames, but not what its owner wrote.
_FOR_ANYBODY = (
    "id", "object", "status", "progress", "stage", "chunks", "frames", "fps", "size", "seconds", "eta_s",
    "created_at", "started_at", "first_frame_at", "completed_at", "stream_url", "time_to_first_segment_s",
    "realtime_factor",
)  # fmt: skip


class EventStream(StreamingResponse):
    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SLOW_S):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            log.info("event stream left: the client does not read")


@router.get(
    "/{video_id}/events",
    response_class=EventStream,
    responses={
        200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}},
        204: {"description": "The video has ended, and you have seen everything."},
    },
)
@refuses(InvalidRequest)
async def events(
    video_id: VideoId,
    request: Request,
    use: ServicesDep,
    who: ViewerDep,
    view: ViewDep,
    after: Annotated[
        str | None, Query(description="As `Last-Event-ID`.", max_length=40, json_schema_extra=_SHAPE)
    ] = None,
    last_event_id: Annotated[
        str | None, Header(description="Tell what came after this one.", max_length=40, json_schema_extra=_SHAPE)
    ] = None,
) -> Response:
    """What happens to the video, from its start or from the last event you have seen, until it ends."""
    feed: Feeds = request.app.state.feeds
    for name, said in (("Last-Event-ID", last_event_id), ("after", after)):
        if said and not _PLACE.fullmatch(said):
            raise InvalidRequest("This is no id of an event of ours.", name)
    seen = last_event_id or after or feeds.START
    job = await run_in_threadpool(use.store.get, who.tenant, video_id)
    told = feed.listen(job.id, seen).events()
    first = None
    if job.state.is_terminal and (first := await anext(told, None)) is None:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventStream(lines(first, told, Teller(use, who, view, job.id)), headers=headers)


async def lines(first: Event | None, told: AsyncGenerator[Event | None], teller: Teller) -> AsyncIterator[str]:
    """The stream as text."""
    yield f"retry: {COME_BACK_MS}\n\n"
    if first:
        yield await teller.tell(first)
    async with aclosing(told):
        async for event in told:
            yield await teller.tell(event) if event else ": still here\n\n"


@dataclass(frozen=True, slots=True)
class Teller:
    """Words events for one client."""

    use: Services
    who: Viewer
    view: View
    video_id: str

    async def tell(self, event: Event) -> str:
        data = {"type": event.kind, "video_id": self.video_id, "created_at": event.at, "frames": event.frames}
        if event.kind == "video.progress":
            data |= _progress(event)
        elif event.kind == "video.chunk.completed":
            data["chunk"] = self._chunk(event.data)
        elif event.kind in _STATES:
            data["video"] = await run_in_threadpool(self._video)
        place = f"id: {event.place}\n" if event.place else ""
        return f"{place}event: {event.kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"

    def _chunk(self, told: dict[str, Any]) -> dict[str, Any]:
        if "num_frames" not in told:
            return told  # an event from before this was kept
        a_frame_s = told["duration_s"] / told["num_frames"]
        name = self.who.link(f"segments/{told['track']}/{told['first_frame']}.m4s")
        return {
            "track": told["track"],
            "stage": told["stage"],
            "first_frame": told["first_frame"],
            "num_frames": told["num_frames"],
            "start_s": round(told["first_frame"] * a_frame_s, 6),
            "end_s": round((told["first_frame"] + told["num_frames"]) * a_frame_s, 6),
            "seconds": round(told["seconds"], 3),
            "segment_url": f"/v1/videos/{self.video_id}/{name}",
        }

    def _video(self) -> dict[str, Any] | None:
        """The video as it is now, also where the event is an old one."""
        try:
            job, before = self.use.store.place(self.who.tenant, self.video_id)
        except NotFound:
            return None
        shown = self.view(job, queue_position=before).model_dump(mode="json")
        return shown if self.who.has_key else {name: shown[name] for name in _FOR_ANYBODY}


def _progress(event: Event) -> dict[str, Any]:
    step, steps, total, begun = (event.data[name] for name in ("step", "steps", "units_total", "begun"))
    percent = progress(event.units_done, total, begun)
    return {"progress": percent, "stage": event.data["stage"], "step": step, "steps": steps}
