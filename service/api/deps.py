"""What routes are given: the services of this process, the caller's tenant, well-formed ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import redis
from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service import additions, ids
from service.api.refusals import refuses
from service.database import connect
from service.errors import MissingScope, NotFound, RateLimited, StoreUnavailable, Unauthorized, UnreadableRecord
from service.images import Images
from service.ledger import Ledger
from service.limits import Limiter
from service.objects import Objects, open_objects
from service.outbox import Outbox
from service.policy import Policy
from service.queue import Waker, make_celery
from service.scopes import Scope
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may use, built once a process."""

    settings: Settings
    client: redis.Redis
    store: Store
    outbox: Outbox
    tenants: Tenants
    limiter: Limiter
    objects: Objects
    ledger: Ledger
    waker: Waker
    policy: Policy
    images: Images

    @classmethod
    def open(cls, settings: Settings) -> Services:
        additions.settle(settings)
        client, stored = connect(settings), open_objects(settings)
        return cls(
            settings=settings,
            client=client,
            store=Store(client, settings),
            outbox=Outbox(client, settings),
            tenants=Tenants(client, settings),
            limiter=Limiter(client, settings),
            objects=stored,
            ledger=Ledger(client, settings, stored),
            waker=Waker(make_celery(settings)),
            policy=Policy(settings),
            images=Images(settings),
        )


def services(request: Request) -> Services:
    opened: Services = request.app.state.services
    return opened


ServicesDep = Annotated[Services, Depends(services)]
_bearer = HTTPBearer(auto_error=False, description="An API key, `ltk_…`.")


@refuses(Unauthorized, MissingScope, RateLimited, StoreUnavailable, UnreadableRecord)
def tenant(
    request: Request, use: ServicesDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> str:
    """The tenant whose key came with the request, if that key may make it."""
    if credentials is None:
        raise Unauthorized("Send your API key as 'Authorization: Bearer ltk_…'.")
    key = use.tenants.authenticate(credentials.credentials)
    visit = use.limiter.visit(key.tenant)
    request.state.answer_headers = visit.headers()
    if visit.wait_s:
        raise visit.refuse()
    scope = needed_scope(request.scope["route"].tags, request.method)
    if scope is not None and scope not in key.scopes:
        raise MissingScope(scope)
    return key.tenant


def needed_scope(tags: Sequence[str | Enum], method: str) -> Scope | None:
    """What a route needs, by its tag, so that a new route is never open by mistake."""
    if "models" in tags:
        return None
    if "webhooks" in tags:
        return Scope.WEBHOOKS
    return Scope.VIDEOS_READ if method in ("GET", "HEAD") else Scope.VIDEOS_WRITE


@refuses(NotFound)
def video_id(video_id: Annotated[str, Path(description="`video_…`")]) -> str:
    """An id that is no id is answered like one that is not known."""
    if not ids.is_id(video_id, "video"):
        raise NotFound(f"There is no video '{video_id[:100]}'.", "id")
    return video_id


TenantDep = Annotated[str, Depends(tenant)]
VideoId = Annotated[str, Depends(video_id)]
