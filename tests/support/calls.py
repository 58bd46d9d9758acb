"""Every call of the API, made from its own routes and its own description, so that a new one is tried too.

What a path's parameters are must be told here; a parameter that nobody has told is a KeyError in whoever tries all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

PROMPT = "a blue star moving up on a navy background"


class Names(dict[str, str]):
    """A path's parameters; one that no test knows yet is `0`."""

    def __missing__(self, name: str) -> str:
        return "0"


def described(api: TestClient) -> list[tuple[str, str]]:
    """(method, path) of every call of /v1 that the description has."""
    paths = api.get("/openapi.json").json()["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() if path.startswith("/v1/") for method in methods]
    assert len(found) >= 11
    return found


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """(method, path) of every route of /v1, also of those that the description leaves out."""
    for route in app.routes:
        router = getattr(route, "original_router", None)
        for found in router.routes if router else [route]:
            if isinstance(found, APIRoute) and found.path.startswith("/v1/"):
                yield from ((method, found.path) for method in sorted(found.methods))


def filled(path: str, video: str, delivery: str) -> str:
    """The path with what its parameters name. A new kind of parameter has to be told here what it is."""
    known = {"video_id": video, "delivery_id": delivery, "model_id": "tiny-shapes", "track": "preview"}
    known |= {"first_frame": "0"}
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: known[match[1]], path)


def sample(schema: dict[str, Any], document: dict[str, Any], video: str, name: str = "") -> Any:
    """A value of that schema: what is required, a prompt, and the id wherever there is room for one."""
    if "$ref" in schema:
        return sample(document["components"]["schemas"][schema["$ref"].split("/")[-1]], document, video, name)
    if schema.get("type") == "object":
        wanted = {*schema.get("required", ()), "prompt", "video", "id"}
        parts = {k: v for k, v in schema.get("properties", {}).items() if k in wanted or k.endswith("_id")}
        return {k: sample(part, document, video, k) for k, part in parts.items()}
    for choices in ("anyOf", "oneOf", "allOf"):
        if choices in schema:
            return sample(schema[choices][0], document, video, name)
    texts = {"prompt": PROMPT, "seconds": "2"}
    if schema.get("type") == "string":
        return video if name == "id" or name.endswith("_id") else texts.get(name, "x")
    return {"number": 1, "integer": 1, "boolean": False, "array": []}.get(str(schema.get("type")))


def body_of(document: dict[str, Any], method: str, path: str, video: str) -> Any:
    """A JSON body that the call takes; None where it takes none."""
    operation = document["paths"].get(path, {}).get(method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {})
    return sample(content["application/json"]["schema"], document, video) if "application/json" in content else None
