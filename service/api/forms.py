"""Bodies as JSON or as a form: a form becomes the JSON body that says the same.

Forms are what the `openai` SDK sends. Nested fields are written `refine[steps]` or as JSON text. Knows nothing of
what the fields mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

_JSON_FIELDS = frozenset({"prompts", "refine", "webhook", "metadata"})


class JsonOrForm(APIRoute):
    """A route whose body may also come as multipart/form-data."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_either(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind == "multipart/form-data":
                request = _with_body(request, json.dumps(await _read(request)).encode())
            elif kind != "application/json":
                raise HTTPException(415, "Send the body as application/json or multipart/form-data.")
            return await handle(request)

        return handle_either


def _with_body(request: Request, body: bytes) -> Request:
    """The same request with a JSON body."""
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}, receive)


async def _read(request: Request) -> dict[str, Any]:
    """`a[b]=c` is nested; a field that is no text in the API is read as JSON where it is JSON."""
    fields: dict[str, Any] = {}
    async with request.form(max_files=1, max_fields=200) as form:
        for name, value in form.multi_items():
            text = value if isinstance(value, str) else "(a file)"
            outer, bracket, inner = name.partition("[")
            if bracket and inner.endswith("]") and outer in _JSON_FIELDS:
                nested = fields.setdefault(outer, {})
                if isinstance(nested, dict):
                    nested[inner[:-1]] = text
            else:
                fields[name] = _decoded(text) if name in _JSON_FIELDS else text
    return fields


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
