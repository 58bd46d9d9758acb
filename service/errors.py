"""Every error of the service: a stable `code`, its HTTP status, and whether trying again may help.

Raised by the service and the workers, turned into RFC 9457 documents by `service.api.problems` alone.
"""

from __future__ import annotations

from http import HTTPStatus


class ServiceError(Exception):
    """`message` is for a person; `field` names the request field that is wrong, where one is."""

    code = "internal_error"
    status = 500
    title = "Something went wrong on our side"
    retryable = False
    retry_after_s: int | None = None  # when to try again, where it is known

    def __init__(self, message: str, field: str | None = None):
        super().__init__(message)
        self.message, self.field = message, field


class InvalidRequest(ServiceError):
    """The request cannot be done as asked. `code` may be made exact, for example by the catalogue."""

    code = "invalid_request"
    status = 422
    title = "The request is not valid"

    def __init__(self, message: str, field: str | None = None, code: str | None = None):
        super().__init__(message, field)
        if code is not None:
            self.code = code


class HttpError(ServiceError):
    """What the framework itself refuses: an unknown route, a wrong method."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.title, self.code = status, HTTPStatus(status).phrase, HTTPStatus(status).name.lower()


class MalformedBody(ServiceError):
    code = "malformed_body"
    status = 400
    title = "The body cannot be read"


class BodyTooLarge(ServiceError):
    code = "body_too_large"
    status = 413
    title = "The body is too large"


class UnsupportedMediaType(ServiceError):
    code = "unsupported_media_type"
    status = 415
    title = "The body is of a kind that is not read"


class RangeNotSatisfiable(ServiceError):
    code = "range_not_satisfiable"
    status = 416
    title = "There is nothing in that range"

    def __init__(self, content_range: str):
        super().__init__(
            f"Nothing of the file is in the range asked for: it has {content_range.rpartition('/')[2]} bytes."
        )
        self.content_range = content_range


class Unauthorized(ServiceError):
    code = "unauthorized"
    status = 401
    title = "No valid API key"


class MissingScope(ServiceError):
    """The key is valid, but not for this. `scope` is what it would need."""

    code = "missing_scope"
    status = 403
    title = "The API key may not do this"

    def __init__(self, scope: str):
        super().__init__(f"This API key may not do this; it needs the scope '{scope}'.")
        self.scope = scope


class LinkExpired(Unauthorized):
    code = "link_expired"
    title = "The link is too old"


class NotFound(ServiceError):
    code = "not_found"
    status = 404
    title = "There is no such thing"


class Gone(ServiceError):
    code = "gone"
    status = 410
    title = "It was there, and is deleted"


class NotReady(ServiceError):
    code = "not_ready"
    status = 409
    title = "It is not there yet"
    retryable = True


class AlreadyMade(ServiceError):
    code = "already_made"
    status = 409
    title = "It is made already"


class StoreBusy(ServiceError):
    code = "store_busy"
    status = 503
    title = "The video changes too fast"
    retryable = True


class IdempotencyMismatch(ServiceError):
    code = "idempotency_mismatch"
    status = 422
    title = "The key was used for another request"


class PolicyRefused(ServiceError):
    """The request, or what was made of it, is against the operator's rules. Final for that request."""

    code = "policy_refused"
    status = 422
    title = "The request is not allowed"


class Withheld(PolicyRefused):
    """The job was rejected for what it showed; the same code as its error, for whoever asks for its frames."""

    status = 451
    title = "The video was rejected"


class PolicyUnavailable(ServiceError):
    code = "policy_unavailable"
    status = 503
    title = "The request cannot be checked"
    retryable = True


class ProvenanceFailed(ServiceError):
    """A finished video could not be signed."""

    code = "provenance_failed"
    retryable = True


class LimitReached(ServiceError):
    """A tenant has taken what it may; `retry_after_s` says when there may be more."""

    status = 429
    retryable = True

    def __init__(self, message: str, retry_after_s: int = 5):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(LimitReached):
    code = "rate_limited"
    title = "Too many requests"


class TooManyVideos(LimitReached):
    code = "too_many_videos"
    title = "Too many videos at once"


class QueueFull(LimitReached):
    code = "queue_full"
    title = "Too many videos wait"


class FramesSpent(LimitReached):
    code = "daily_frames_spent"
    title = "The frames of the day are spent"


class ServiceBusy(ServiceError):
    """So much waits already, of all tenants together, that more would wait for too long."""

    code = "service_busy"
    status = 503
    title = "The service has too much to do"
    retryable = True
    retry_after_s = 30


class StoreUnavailable(ServiceError):
    code = "store_unavailable"
    status = 503
    title = "The job store does not answer"
    retryable = True


class StoreFull(StoreUnavailable):
    code = "store_full"
    title = "The job store is full"


class UnreadableRecord(ServiceError):
    """What the store keeps of a video was written by a newer release, or is damaged."""

    code = "unreadable_record"
    status = 503
    title = "The video's record cannot be read here"
    retryable = True


class StorageUnavailable(ServiceError):
    code = "storage_unavailable"
    status = 503
    title = "The object storage does not answer"
    retryable = True


class StorageFull(StorageUnavailable):
    code = "storage_full"
    title = "The object storage is full"


class ImageLost(ServiceError):
    """The picture that a video begins with is no longer what was kept of it, so the video cannot be made."""

    code = "image_lost"
    status = 410
    title = "The picture is gone"


class StaleFence(ServiceError):
    """A worker wrote with a claim that is no longer its own. Never seen by a client."""

    code = "stale_fence"
    status = 409
    title = "The claim was taken over"


class DeliveryRefused(ServiceError):
    """An address that a user named was not called, or did not answer as it should."""

    code = "delivery_refused"
    status = 422
    title = "The address cannot be called"
