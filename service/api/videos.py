"""/v1/videos: order, look up, list, cancel and delete."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from service import objects
from service.api.deps import ServicesDep, TenantDep, VideoId
from service.api.forms import JsonOrForm
from service.api.orders import image_url, job_of
from service.api.reception import ReceptionDep, pace_client
from service.api.refusals import refuses
from service.api.schemas import CreateVideo
from service.api.views import ViewDep
from service.errors import ServiceError, StorageFull, StorageUnavailable
from service.jobs import JobState
from service.videos import Video

router = APIRouter(prefix="/v1/videos", tags=["videos"], route_class=JsonOrForm)
reading = APIRouter(prefix="/v1/videos", tags=["videos"])
log = logging.getLogger(__name__)


class VideoList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(BaseModel):
    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool = True


@router.post("", status_code=202)
@refuses(
    "conflicting_fields", "out_of_range", "too_long", "too_short", "unknown_event", "unknown_model", "unknown_size"
)
@refuses("clip_needed", "not_offered", "unknown_recipe")
@refuses("prompt_not_understood", "url_not_allowed", StorageFull, StorageUnavailable)
@refuses("image_needed", "image_not_fetched", "image_too_large", "image_unreadable", "unknown_file")
def create(order: CreateVideo, use: ServicesDep, tenant: TenantDep, reception: ReceptionDep) -> Video:
    """Order a video. It is safe from the moment of this answer; poll `Location`, or name a webhook."""
    image = image_url(order.input_reference)
    return reception.take_in(job_of(order, tenant, use.settings, with_image=image is not None), order, image_url=image)


@reading.get("")
def list_videos(
    request: Request,
    use: ServicesDep,
    tenant: TenantDep,
    view: ViewDep,
    after: Annotated[str | None, Query(description="The last id of the page before.", max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    status: JobState | None = None,
) -> VideoList:
    """Your videos, the newest first. `metadata[name]=value` keeps those that have it."""
    wanted = {k[9:-1]: v for k, v in request.query_params.items() if k.startswith("metadata[") and k.endswith("]")}
    page = use.store.page(tenant, after=after, limit=limit, order=order, status=status, metadata=wanted)
    data = [view(job) for job in page.jobs]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return VideoList(data=data, first_id=ends[0], last_id=ends[1], has_more=page.has_more)


@reading.get("/{video_id}")
def get(video_id: VideoId, response: Response, use: ServicesDep, tenant: TenantDep, view: ViewDep) -> Video:
    """A video as it is now. While it is made, `openai-poll-after-ms` says when to look again."""
    job, before = use.store.place(tenant, video_id)
    if not job.state.is_terminal:
        pace_client(response, view, job)
    return view(job, queue_position=before)


@reading.post("/{video_id}/cancel")
def cancel(video_id: VideoId, use: ServicesDep, tenant: TenantDep, view: ViewDep) -> Video:
    """Stop a video; what is made of it stays. Again, or when it is done, it changes nothing."""
    job = use.store.cancel(tenant, video_id)
    if job.state.is_terminal:
        use.waker.wake_delivery()
    return view(job)


@reading.delete("/{video_id}")
def delete(video_id: VideoId, use: ServicesDep, tenant: TenantDep) -> Deleted:
    """Forget a video in whatever state, with every object of it that no video made from it plays."""
    if use.store.delete(tenant, video_id):
        try:
            use.objects.delete_prefix(objects.key(tenant, video_id) + "/")
        except ServiceError as error:
            log.warning("objects left for the sweep", extra={"job": video_id, "reason": error.code})
    return Deleted(id=video_id)
