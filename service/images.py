"""The picture that a video begins with: from what a client sends to an object, and back again for whoever draws it.

What a picture may be, `models.pictures` says. Knows nothing of HTTP routes, Redis or tensors.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from models import pictures
from models.model import CatalogError
from service.errors import DeliveryRefused, ImageLost, InvalidRequest, NotFound, ServiceBusy
from service.jobs import Generation, ImageRef
from service.objects import Objects, key
from service.outbound import Outbound, check_url
from service.settings import Settings

FIELD = "input_reference"
NAME = "reference.png"
FETCHES, DECODERS = 8, 1  # at once: a slow server takes a thread for a while, the largest picture 400 MB
PATIENCE_S = 10.0  # for a decoder


@dataclass(frozen=True, slots=True)
class Picture:
    """sent: the file as it came. png: what is kept of it, pixels without metadata."""

    sent: bytes = field(repr=False)
    png: bytes = field(repr=False)


class Images:
    """Reads the pictures that clients send, a few at a time. One a process."""

    def __init__(self, settings: Settings, outbound: Outbound | None = None):
        self._settings, self._outbound = settings, outbound or Outbound(settings)
        self._fetches = threading.BoundedSemaphore(FETCHES)
        self._decoders = threading.BoundedSemaphore(DECODERS)

    def read(self, image_url: str) -> Picture:
        """The picture at https://…, or in data:…;base64,…. Raises `InvalidRequest` and `ServiceBusy`."""
        sent = _unpacked(image_url) if image_url[:5].lower() == "data:" else self._fetched(image_url)
        if len(sent) > (most := self._settings.image_limit_bytes):
            raise InvalidRequest(f"The picture has {len(sent)} bytes; at most {most}.", FIELD, "image_too_large")
        with _one_of(self._decoders, PATIENCE_S):
            try:
                return Picture(sent, pictures.png(pictures.decode(sent, FIELD)))
            except CatalogError as error:
                raise InvalidRequest(str(error), error.field, error.code) from None

    def _fetched(self, url: str) -> bytes:
        try:
            check_url(url, self._settings.image_allow_private)
        except DeliveryRefused as error:
            raise InvalidRequest(error.message, FIELD, "url_not_allowed") from None
        with _one_of(self._fetches, 0):
            try:
                return asyncio.run(self._outbound.get_image(url, self._settings.image_limit_bytes))
            except DeliveryRefused as error:
                raise InvalidRequest(f"No picture came. {error.message}", FIELD, "image_not_fetched") from None


def keep(objects: Objects, tenant: str, job_id: str, png: bytes) -> ImageRef:
    """Store the picture of a job."""
    place = key(tenant, job_id, NAME)
    objects.put(place, png, "image/png")
    return ImageRef(key=place, sha256=hashlib.sha256(png).hexdigest())


def load(objects: Objects, image: ImageRef) -> bytes:
    """The picture as it was kept. Raises `ImageLost` where there is none, or another: the video would be another."""
    try:
        png = objects.get(image.key)
    except NotFound:
        raise ImageLost("The picture that this video begins with is gone.") from None
    if hashlib.sha256(png).hexdigest() != image.sha256:
        raise ImageLost("The picture that this video begins with is not what it was.")
    return png


def of(objects: Objects, generation: Generation) -> bytes | None:
    """The picture that a video begins with; None where it begins with none."""
    return load(objects, generation.image) if generation.image else None


def _unpacked(url: str) -> bytes:
    head, _, body = url.partition(",")
    if not head.lower().endswith(";base64"):
        raise InvalidRequest("A data URL is to begin with data:image/png;base64, or the like.", FIELD, "invalid_value")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise InvalidRequest("The data URL is no base64.", FIELD, "image_unreadable") from None


@contextmanager
def _one_of(room: threading.BoundedSemaphore, patience_s: float) -> Iterator[None]:
    if not room.acquire(timeout=patience_s):
        raise ServiceBusy("Too many pictures are being read; try again in a moment.")
    try:
        yield
    finally:
        room.release()
