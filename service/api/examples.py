"""One example of every body that is sent and answered, by the name of its schema, for the OpenAPI document.

Made of the classes themselves, so none can have a field too few or too many. Knows no route.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from models.catalog import DEFAULT_MODEL, MODELS
from service import playlists
from service.api.health import Health
from service.api.models import ModelList, card
from service.api.schemas import Body, BranchVideo, CreateVideo, EditVideo, ExtendVideo, RemixVideo, SteerVideo
from service.api.takes import SteeredVideo, TakesEffect
from service.api.videos import Deleted, VideoList
from service.api.webhooks import DeliveryList, DeliveryView, Secrets
from service.jobs import JobState, Made
from service.outbox import Attempt, DeliveryState
from service.videos import Chunks, Usage, Video

_CIRCLE = "a red circle moving right on a black background"
_STAR = "a blue star moving up on a grey background"
_ID, _EVENT = "video_01994d3c5f7a7c3e9b21d4e8a6f05b12", "evt_01994d3c7b107a54a1c09e35d27f8e64"
_ORDERED_AT = 1795270833

_VIDEO = Video(
    id=_ID, model=DEFAULT_MODEL, status=JobState.IN_PROGRESS, progress=40, prompt=_CIRCLE, prompts=(), size="64x64",
    seconds="8", fps=8, output=Made(size="64x64", fps=8, frames=64), seed=7, metadata={"scene": "12"},
    created_at=_ORDERED_AT, started_at=_ORDERED_AT + 1,
    first_frame_at=_ORDERED_AT + 2, completed_at=None, expires_at=None, error=None, stage="stream",
    chunks=Chunks(done=3, total=7), frames=32, ancestry=None, turbo=None, queue_position=None, eta_s=1.9,
    stream_url=f"https://videos.example/v1/videos/{_ID}/stream.m3u8?token=1795356000-c2lnbmF0dXJl",
    time_to_first_segment_s=1.2, realtime_factor=None, usage=Usage(gpu_seconds=1.5), quality=None,
)  # fmt: skip
_DELIVERY = DeliveryView(
    id=_EVENT, type="video.completed", video_id=_ID, url="https://videos.example/hook", created_at=_ORDERED_AT + 5,
    state=DeliveryState.DELIVERED, attempts=[Attempt(at=_ORDERED_AT + 5.2, seconds=0.1, status=204)],
)  # fmt: skip
_MODEL = card(MODELS[DEFAULT_MODEL], ())
_SECRET = "whsec_bm8gc2VjcmV0LCBvbmx5IGFuIGV4YW1wbGUh"  # noqa: S105  # of nobody
_ENDS: dict[str, Any] = {"has_more": False}

_BODIES: tuple[BaseModel, ...] = (
    CreateVideo.model_validate(
        {"prompt": _CIRCLE, "seconds": "8", "seed": 7, "prompts": [{"at_seconds": 4, "prompt": _STAR}]}
    ),
    ExtendVideo.model_validate({"video": {"id": _ID}, "prompt": _STAR, "seconds": "4"}),
    BranchVideo(at_seconds=4, prompt=_STAR),
    RemixVideo(prompt=_STAR),
    EditVideo.model_validate({"video": {"id": _ID}, "prompt": "make it blue"}),
    SteerVideo(prompt=_STAR),
    _VIDEO,
    VideoList(data=[_VIDEO], first_id=_ID, last_id=_ID, **_ENDS),
    SteeredVideo(**_VIDEO.model_dump(), takes_effect=TakesEffect(chunk=4, at_seconds=5)),
    Deleted(id=_ID),
    _MODEL,
    ModelList(data=[_MODEL]),
    _DELIVERY,
    DeliveryList(data=[_DELIVERY], first_id=_EVENT, last_id=_EVENT, **_ENDS),
    Health(status="ready"),
    Secrets(secret=_SECRET, signing=[_SECRET]),
)

#: By the name of a schema.
OF_SCHEMAS: Mapping[str, Any] = {
    type(body).__name__: body.model_dump(mode="json", exclude_unset=isinstance(body, Body)) for body in _BODIES
}

#: By the media type of what is no JSON, where it can be written down.
OF_TEXTS: Mapping[str, Any] = {
    playlists.MEDIA_TYPE: "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:EVENT\n"
    '#EXT-X-MAP:URI="segments/preview/0.mp4?token=…"\n#EXTINF:2.00000,\nsegments/preview/0.m4s?token=…\n',
    "text/event-stream": {"id": "1795270835201-0", "event": "video.progress", "data": '{"progress":40}'},
    "text/plain": 'longtake_jobs_queued{pool="default"} 1.0\nlongtake_store_up 1.0\n',
}
