"""Bodies as JSON or as a form: a form becomes the JSON body that says the same.

Forms are what the `openai` SDK sends. Nested fields are written `refine[steps]`, `prompts[][prompt]`, or as JSON
text; a file becomes a data URL. Knows nothing of what the fields mean.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from service.api.refusals import refuses
from service.errors import InvalidRequest, MalformedBody, UnsupportedMediaType

_JSON_FIELDS = frozenset({"prompts", "refine", "turbo", "webhook", "metadata", "video", "input_reference"})
_FILES = frozenset({"input_reference"})
MAX_VALUES = 200_000  # in JSON: an empty list takes 2 bytes to send and 60 to keep, and a body may be 20 MB


@refuses(UnsupportedMediaType)
class JsonOrForm(APIRoute):
    """A route whose body may also come as multipart/form-data."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        if self.body_field is not None:
            body: Any = self.body_field.field_info.annotation
            form = {"multipart/form-data": {"schema": form_of(body)}}
            self.openapi_extra = {"requestBody": {"content": form}}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_either(request: Request) -> Response:
            kind, options = parse_options_header(request.headers.get("content-type", ""))
            try:
                if kind == b"multipart/form-data":
                    _check_charset(options.get(b"charset", b"utf-8"))
                    request = _with_body(request, json.dumps(await _read(request)).encode())
                elif kind != b"application/json":
                    raise UnsupportedMediaType("Send the body as application/json or multipart/form-data.")
                else:
                    _check_crowd(await request.body())
                return await handle(request)
            except RecursionError:
                raise MalformedBody("The body is nested too deeply.") from None

        return handle_either


def form_of(body: type[BaseModel]) -> dict[str, Any]:
    """The schema of the form that says the same as a JSON body, for the OpenAPI document."""
    schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    for name in _FILES & schema["properties"].keys():
        file = {"type": "string", "format": "binary", "description": "The picture as a file: PNG, JPEG or WebP."}
        schema["properties"][name] = {"anyOf": [file, *schema["properties"][name]["anyOf"]]}
    return schema


def _with_body(request: Request, body: bytes) -> Request:
    """The same request with a JSON body."""
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}, receive)


async def _read(request: Request) -> dict[str, Any]:
    """The fields of the form; one that is no text in the API is read as JSON where it is JSON."""
    fields: dict[str, Any] = {}
    # How long a part may be, the limit of the whole body says.
    async with request.form(max_files=1, max_fields=200, max_part_size=sys.maxsize) as form:
        for name, value in form.multi_items():
            text = value if isinstance(value, str) else await _as_text(name, value)
            outer, *inner = name.replace("]", "").split("[")
            if outer in _JSON_FIELDS:
                _put(fields, [outer, *inner[:3]], text if inner else _decoded(text))
            else:
                fields[name] = text
    return fields


async def _as_text(name: str, file: UploadFile) -> str:
    """A file in the words of JSON."""
    if name not in _FILES:
        raise InvalidRequest(f"'{name[:100]}' cannot be a file.", name[:100], "invalid_value")
    return json.dumps({"image_url": f"data:;base64,{base64.b64encode(await file.read()).decode()}"})


def _check_charset(said: bytes) -> None:
    """Python knows encodings that no client means, and some of them fail in ways of their own."""
    if said.lower() not in (b"utf-8", b"utf8"):
        raise UnsupportedMediaType("Send the form in UTF-8.")


def _check_crowd(body: bytes) -> None:
    """Before it is parsed; a picture in a body has none of these characters."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise HTTPException(413, f"The body has more than {MAX_VALUES} values.")


def _put(node: Any, path: list[str], value: Any) -> None:
    """Set `a[b]`, or append to `a[]`; in a list of objects a name that is there already begins the next one."""
    head, *rest = path
    if isinstance(node, list):
        if not rest:
            node.append(value)
            return
        if not node or rest[0] in node[-1]:
            node.append({})
        _put(node[-1], rest, value)
    elif not isinstance(node, dict):
        raise HTTPException(400, "A field of the form is both a value and a group of values.")
    elif not rest:
        node[head] = value
    else:
        _put(node.setdefault(head, [] if rest[0] == "" or rest[0].isdecimal() else {}), rest, value)


def _decoded(text: str) -> Any:
    _check_crowd(text.encode(errors="replace"))
    try:
        return json.loads(text)
    except ValueError:
        return text
