"""Errors as RFC 9457 documents that also carry OpenAI's `error` member. The only place that words a status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from service.errors import (
    BodyTooLarge,
    HttpError,
    InvalidRequest,
    MalformedBody,
    MissingScope,
    NotReady,
    RangeNotSatisfiable,
    ServiceError,
    Unauthorized,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


class OpenAiError(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class Problem(BaseModel):
    """application/problem+json. `code` is stable; `field` names what is wrong in the request, where one is."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None
    request_id: str | None
    error: OpenAiError

    @classmethod
    def of(
        cls, status: int, code: str, title: str, detail: str, field: str | None = None, request_id: str | None = None
    ) -> Self:
        kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        return cls(
            type=f"about:blank#{code}",
            title=title,
            status=status,
            code=code,
            detail=detail,
            field=field,
            request_id=request_id,
            error=OpenAiError(message=detail, type=kind, param=field, code=code),
        )


def problem_response(error: ServiceError, request_id: str | None) -> JSONResponse:
    body = Problem.of(error.status, error.code, error.title, error.message, error.field, request_id)
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MissingScope):
        headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'  # RFC 6750
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = error.content_range
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    elif error.status == 503 or isinstance(error, NotReady):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(body.model_dump(), status_code=error.status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Every error of the app becomes a problem document."""

    @app.exception_handler(ServiceError)
    def service_error(request: Request, error: ServiceError) -> JSONResponse:
        return problem_response(error, request_id_of(request))

    @app.exception_handler(RequestValidationError)
    def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(_first_of(list(error.errors())), request_id_of(request))

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> JSONResponse:
        status, detail = error.status_code, str(error.detail)
        own = {400: MalformedBody("The body cannot be read."), 413: BodyTooLarge(detail)}
        answer = problem_response(own.get(status) or HttpError(status, detail), request_id_of(request))
        answer.headers.update(error.headers or {})
        if status == 405:
            answer.headers["Allow"] = ", ".join(sorted(methods_of(request)))
        return answer


def methods_of(request: Request) -> set[str]:
    """What can be done at the path of a request, by whichever routes: the framework names those of the first alone."""
    here = [route for route in routes_of(request.app.routes) if route.matches(request.scope)[0] is not Match.NONE]
    literal = [route for route in here if getattr(route, "path", "") == request.url.path]  # not an id of that name
    return {method for route in literal or here for method in getattr(route, "methods", None) or ()}


def routes_of(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    """All of them: an included router stands as one among the routes of the app."""
    for route in routes:
        within = getattr(route, "original_router", None)
        yield from [route] if within is None else routes_of(within.routes)


def request_id_of(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


def _first_of(errors: list[dict[str, Any]]) -> ServiceError:
    """The first thing wrong with the request, with the field named as the client wrote it."""
    first = errors[0]
    where = [part for part in first["loc"][1:] if not str(part).startswith(("<", "[key]"))]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".") or None
    if first["type"] == "json_invalid":
        return MalformedBody(f"The body is not JSON: {first['ctx']['error']}.")
    if first["type"] == "extra_forbidden":
        return InvalidRequest(f"There is no field '{field}'.", field, "unknown_field")
    if first["type"] == "missing":
        return InvalidRequest(f"'{field}' is needed." if field else "A body is needed.", field, "missing_field")
    return InvalidRequest(f"{field or 'The body'}: {first['msg']}.", field, "invalid_value")
