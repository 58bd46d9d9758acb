"""Who may look at a video, and what it looks like to them: the video object with the links of this request.

A player can send no header, so a link carries a ticket; the ticket of the request goes on into the links that
it leads to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.deps import ServicesDep, VideoId, tenant
from service.api.refusals import marks_of, refuses
from service.errors import Gone, LinkExpired
from service.estimates import Pace, poll_after_ms
from service.jobs import Job
from service.tickets import Tickets
from service.videos import Video, video_of

_bearer = HTTPBearer(auto_error=False, description="An API key, `ltk_…`.")


class View:
    """Jobs as the caller of this request sees them."""

    def __init__(self, request: Request, use: ServicesDep):
        self._tickets: Tickets = request.app.state.tickets
        self._store, self._crowds = use.store, dict[tuple[str, str], float]()
        self._default_ms = use.settings.poll_after_ms
        self._base_url = use.settings.public_url or str(request.base_url)

    def __call__(self, job: Job, *, queue_position: int | None = None) -> Video:
        url = self._tickets.url(job.id, self._base_url)
        crowd = 1.0 if job.state.is_terminal else self._crowd(job)
        return video_of(job, queue_position=queue_position, pace=self._pace, crowd=crowd, stream_url=url)

    def poll_after_ms(self, job: Job) -> int:
        """When to look at it again."""
        return poll_after_ms(job, self._pace, self._crowd(job), self._default_ms)

    def _crowd(self, job: Job) -> float:
        asked = job.tenant, job.pool
        if asked not in self._crowds:
            self._crowds[asked] = self._store.crowd(*asked)
        return self._crowds[asked]

    @cached_property
    def _pace(self) -> Pace:
        return self._store.pace()


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who may watch one video: its tenant's key, or a ticket for it."""

    tenant: str
    ticket: str
    has_key: bool

    def link(self, name: str) -> str:
        """A name beside the playlist as a URI that needs nothing else to open."""
        return f"{name}?token={self.ticket}"


@refuses(LinkExpired, Gone, *marks_of(tenant))
def viewer(
    request: Request,
    video_id: VideoId,
    use: ServicesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    token: Annotated[str | None, Query(description="The ticket that `stream_url` carries.", max_length=100)] = None,
) -> Viewer:
    tickets: Tickets = request.app.state.tickets
    if token is not None:
        return Viewer(tickets.open(video_id, token), token, has_key=False)
    return Viewer(tenant(request, use, credentials), tickets.issue(video_id), has_key=True)


ViewDep = Annotated[View, Depends(View)]
ViewerDep = Annotated[Viewer, Depends(viewer)]
