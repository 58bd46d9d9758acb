"""Where every order for a video is taken in: the operator's rules, the Idempotency-Key, the store, the answer.

Whether it is a video from nothing or from another video makes no difference here; what it is to be, the routes say.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Header, Response
from pydantic import BaseModel

from service import images, objects, tracing
from service.api.deps import Services, ServicesDep
from service.api.refusals import refuses
from service.api.views import View, ViewDep
from service.errors import (
    FramesSpent,
    IdempotencyMismatch,
    InvalidRequest,
    PolicyRefused,
    PolicyUnavailable,
    QueueFull,
    ServiceBusy,
    ServiceError,
    StoreFull,
    StoreUnavailable,
    TooManyVideos,
)
from service.jobs import Job, UnitDone
from service.policy import prompts_of
from service.redaction import told
from service.store import Idempotency
from service.videos import Video

log = logging.getLogger(__name__)

_KEY = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')


@refuses(IdempotencyMismatch, InvalidRequest, PolicyRefused, PolicyUnavailable)
@refuses(TooManyVideos, QueueFull, FramesSpent, ServiceBusy, StoreFull)
class Reception:
    """Takes the orders of one request in."""

    def __init__(
        self,
        response: Response,
        use: ServicesDep,
        view: ViewDep,
        idempotency_key: Annotated[
            str | None,
            Header(
                description="The same key and body again: the same video.",
                json_schema_extra={"pattern": f"^{_KEY.pattern}$"},
            ),
        ] = None,
    ):
        self._response, self._use, self._view = response, use, view
        self._key = None if idempotency_key is None else read_key(idempotency_key)

    def take_in(
        self, wanted: Job, order: BaseModel, shared: Sequence[UnitDone] = (), image_url: str | None = None
    ) -> Video:
        """The video is safe once this returns. `order` is the body that asked for it, `image_url` its picture."""
        use, headers = self._use, self._response.headers
        idempotency = Idempotency(self._key, fingerprint(wanted, order)) if self._key else None
        # A picture may be gone by the time that its order is repeated.
        known = use.store.recall(wanted.tenant, idempotency) if image_url and idempotency else None
        wanted = wanted.model_copy(update={"traceparent": tracing.here()})
        job, replayed = (known, True) if known else self._submit(wanted, idempotency, shared, image_url)
        if replayed:
            headers["Idempotency-Replayed"] = "true"
        else:
            keep_order(use, job)
            use.waker.wake(pool=job.pool)
            log.info("video ordered", extra={"job": job.id, **told(job.generation.prompt, use.settings)})
        headers["Location"] = f"{use.settings.public_url}/v1/videos/{job.id}"
        pace_client(self._response, self._view, job)
        return self._view(job)

    def _submit(
        self, wanted: Job, idempotency: Idempotency | None, shared: Sequence[UnitDone], image_url: str | None
    ) -> tuple[Job, bool]:
        use, made = self._use, wanted.generation
        picture = use.images.read(image_url) if image_url else None
        use.policy.check_request(prompts_of(made), picture.sent if picture else images.of(use.objects, made))
        if picture is None:
            return use.store.submit(wanted, idempotency, shared)
        use.store.expect(wanted.tenant, wanted.id)  # if this process ends now, the sweep erases the picture
        kept = images.keep(use.objects, wanted.tenant, wanted.id, picture.png)
        wanted = wanted.model_copy(update={"generation": made.model_copy(update={"image": kept})})
        try:
            job, replayed = use.store.submit(wanted, idempotency, shared)
        except ServiceError as refusal:
            if type(refusal) is not StoreUnavailable:  # else it may be taken in all the same
                erase(use, wanted)
            raise
        if replayed:
            erase(use, wanted)
        return job, replayed


ReceptionDep = Annotated[Reception, Depends()]


def pace_client(response: Response, view: View, job: Job) -> None:
    """When to look again; the `openai` SDK reads the first of these."""
    poll_ms = view.poll_after_ms(job)
    response.headers["openai-poll-after-ms"] = str(poll_ms)
    response.headers["Retry-After"] = str(-(-poll_ms // 1000))


def keep_order(use: Services, job: Job) -> None:
    """In object storage, so that a lost store can be rebuilt; where that is away, the sweep does it later."""
    try:
        use.ledger.file(f"{job.tenant}/{job.id}")
    except ServiceError as error:
        log.warning("order left for the sweep to file", extra={"job": job.id, "reason": error.code})


def erase(use: Services, job: Job) -> None:
    """What is stored of a job that was not taken in; what cannot be erased now, the sweep does."""
    try:
        use.objects.delete_prefix(objects.key(job.tenant, job.id) + "/")
    except ServiceError as error:
        log.warning("objects left for the sweep", extra={"job": job.id, "reason": error.code})


def read_key(header: str) -> str:
    """The draft standard writes the key in quotes, most clients do not; both are meant alike."""
    match = _KEY.fullmatch(header)
    if match is None:
        raise InvalidRequest("An Idempotency-Key has 1 to 255 visible ASCII characters.", "Idempotency-Key")
    return hashlib.sha256(match[1].encode()).hexdigest()


def fingerprint(wanted: Job, order: BaseModel) -> str:
    """Of what was asked: the body, and the video that it was asked of."""
    asked_of = f"{wanted.ancestry.kind} {wanted.ancestry.video}" if wanted.ancestry else ""
    return hashlib.sha256(f"{asked_of}{order.model_dump_json()}".encode()).hexdigest()
