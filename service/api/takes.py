"""/v1/videos/…: videos made from videos (extensions, branch, remix), and new prompts for one that is being made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service import images, lineage, steering
from service.api import deps, orders
from service.api.deps import ServicesDep, TenantDep, VideoId
from service.api.forms import JsonOrForm
from service.api.reception import ReceptionDep
from service.api.refusals import refuses
from service.api.schemas import BranchVideo, EditVideo, ExtendVideo, RemixVideo, SteerVideo
from service.api.views import ViewDep
from service.errors import (
    AlreadyMade,
    ImageLost,
    InvalidRequest,
    NotFound,
    NotReady,
    PolicyRefused,
    PolicyUnavailable,
    StorageFull,
    StorageUnavailable,
    StoreBusy,
)
from service.jobs import PromptAt
from service.policy import prompts_of
from service.videos import Video

router = APIRouter(prefix="/v1/videos", tags=["videos"], route_class=JsonOrForm)

TRIES = 10
_OF_PROMPTS = ("prompt_not_understood", "too_long", "unknown_model", ImageLost, StorageUnavailable)
_OF_CHILDREN = (
    *_OF_PROMPTS,
    StorageFull,
    "image_needed",
    "clip_needed",
    "conflicting_fields",
    "too_short",
    "unknown_event",
    "url_not_allowed",
)


class TakesEffect(BaseModel):
    """The first chunk that follows a new prompt: its number, counted from 0, and when it begins."""

    chunk: int
    at_seconds: float


class SteeredVideo(Video):
    """The video, and where the new prompts take effect."""

    takes_effect: Annotated[TakesEffect, Field(description="Where the new prompts take effect.")]


@router.post("/extensions", status_code=202)
@refuses(NotFound, NotReady, *_OF_CHILDREN)
def extend(order: ExtendVideo, use: ServicesDep, tenant: TenantDep, reception: ReceptionDep) -> Video:
    """A longer take: a finished or stopped video goes on for `seconds`, from its exact state, as another video."""
    parent = use.store.get(tenant, deps.video_id(order.video.id))
    committed = use.store.finished_part(tenant, parent.id)
    with orders.refusals():
        frames = orders.frames_of(order.seconds, parent.generation)
        heir = lineage.extension(parent, committed, order.prompt, frames)
        wanted = orders.child_of(heir, parent, order, use.settings)
    return reception.take_in(wanted, order, heir.shared)


@router.post("/{video_id}/branch", status_code=202)
@refuses(NotReady, *_OF_CHILDREN)
def branch(
    video_id: VideoId, order: BranchVideo, use: ServicesDep, tenant: TenantDep, reception: ReceptionDep
) -> Video:
    """Another video that is the same up to a chunk, and from there has another prompt, another seed, or both."""
    if order.prompt is None and order.seed is None:
        raise InvalidRequest("A branch has another prompt or another seed.", "prompt", "missing_field")
    parent = use.store.get(tenant, video_id)
    committed = use.store.finished_part(tenant, parent.id)
    with orders.refusals():
        made = parent.generation
        frames = made.num_frames if order.seconds is None else orders.frames_of(order.seconds, made)
        heir = lineage.branch(parent, committed, order.at_seconds, order.prompt, order.seed, frames)
        if heir.ancestry.at_frame >= frames:
            left = heir.ancestry.at_frame / made.fps
            raise InvalidRequest(f"A branch at {left:g} seconds is longer than that.", "seconds", "too_short")
        wanted = orders.child_of(heir, parent, order, use.settings)
    return reception.take_in(wanted, order, heir.shared)


@router.post("/{video_id}/remix", status_code=202)
@refuses(*_OF_CHILDREN)
def remix(video_id: VideoId, order: RemixVideo, use: ServicesDep, tenant: TenantDep, reception: ReceptionDep) -> Video:
    """The same take of another prompt: length, seed and everything else are those of the video."""
    parent = use.store.get(tenant, video_id)
    with orders.refusals():
        wanted = orders.child_of(lineage.remix(parent, order.prompt), parent, order, use.settings)
    return reception.take_in(wanted, order)


@router.post("/edits", status_code=202)
@refuses(NotFound, NotReady, ImageLost, StorageFull, StorageUnavailable, "out_of_range")
@refuses("prompt_not_understood", "too_long", "too_short", "unknown_event", "unknown_model", "url_not_allowed")
def edit(order: EditVideo, use: ServicesDep, tenant: TenantDep, reception: ReceptionDep) -> Video:
    """The same video but for one thing: a finished video is drawn again, frame by frame, as an instruction says."""
    parent = use.store.get(tenant, deps.video_id(order.video.id))
    return reception.take_in(orders.edit_of(order, parent, lineage.edit(parent), use.settings), order)


@router.patch("/{video_id}")
@refuses(AlreadyMade, PolicyRefused, PolicyUnavailable, StoreBusy, *_OF_PROMPTS)
def steer(video_id: VideoId, order: SteerVideo, use: ServicesDep, tenant: TenantDep, view: ViewDep) -> SteeredVideo:
    """New prompts for the part that is not made yet, in place of what was to come; says where they take effect."""
    for _ in range(TRIES):
        job = use.store.get(tenant, video_id)
        with orders.refusals():
            wanted = steering.steer(job, asked(order, job.generation.fps, steering.next_chunk(job).first_frame))
            orders.check_prompts(job.generation.model_copy(update={"prompts": wanted.prompts}))
        shown = job.generation.model_copy(update={"prompts": wanted.prompts})
        use.policy.check_request(prompts_of(shown), images.of(use.objects, shown))
        if steered := use.store.steer(tenant, job, wanted.prompts):
            effect = TakesEffect(chunk=wanted.chunk, at_seconds=wanted.frame / job.generation.fps)
            return SteeredVideo(**view(steered).model_dump(), takes_effect=effect)
    raise StoreBusy("The video moves on faster than it could be steered; try again.")


def asked(order: SteerVideo, fps: int, frame: int) -> list[PromptAt]:
    """The new part of the schedule; a prompt without a time begins with the next chunk."""
    if (order.prompt is None) == (not order.prompts):
        raise InvalidRequest("Give prompt or prompts.", "prompt", "missing_field")
    if order.prompt is not None:
        return [PromptAt(at_seconds=frame / fps, prompt=order.prompt)]
    return [PromptAt(at_seconds=entry.at_seconds, prompt=entry.prompt) for entry in order.prompts]
