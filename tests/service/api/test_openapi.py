"""The OpenAPI document: examples that are what they are examples of, every error of every call, links that lead on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from fastapi.routing import APIRoute

from models.model import CatalogError
from service.api.app import create_app
from service.api.deps import needed_scope
from service.api.openapi import operation_id, operations_of
from service.api.problems import MEDIA_TYPE, routes_of
from service.api.refusals import Refusal, parts_of
from service.errors import DeliveryRefused, InvalidRequest, StaleFence, StoreFull
from service.settings import Settings
from tests.support.raising import Raised, raised_by

Json = dict[str, Any]

APP = create_app(Settings())
DOCUMENT: Json = APP.openapi()
OPERATIONS = {operation["operationId"]: operation for operation in operations_of(DOCUMENT)}
ROUTES = {operation_id(route): route for route in routes_of(APP.routes) if isinstance(route, APIRoute)}

#: Between workers; in the words of other errors; only where something new is stored (`service.database.source`).
ELSEWHERE = {StaleFence, DeliveryRefused, StoreFull}
#: All orders are taken in at one place, but only a video from nothing is sent a picture, and only it has no parent.
OF_PARENTS = {(404, "not_found"), (410, "image_lost")}
OF_PICTURES = {(422, f"image_{what}") for what in ("not_fetched", "unreadable", "too_large")}
MAKING = {"create", "extend", "branch", "remix", "edit"}


def contents(operation: Json) -> Iterator[tuple[str, Json]]:
    """What is sent and what is answered, by media type."""
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from part.get("content", {}).items()


def pointed_at(value: Json) -> Json:
    """What a reference within the document points at."""
    if "$ref" not in value:
        return value
    found: Any = DOCUMENT
    for part in value["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_has_an_example_and_every_example_is_valid(name: str) -> None:
    for kind, content in contents(OPERATIONS[name]):
        if kind in ("video/mp4", "image/jpeg"):
            continue
        examples = [content["example"]] if "example" in content else []
        examples += [pointed_at(example)["value"] for example in content.get("examples", {}).values()]
        assert examples, f"{name}: no example of {kind}"
        for example in examples:
            jsonschema_rs.validate({**content["schema"], "components": DOCUMENT["components"]}, example)


def declared(name: str) -> set[tuple[int, str]]:
    """Status and code of all that the document says a call may be refused with."""
    found: set[tuple[int, str]] = set()
    for status, answer in OPERATIONS[name]["responses"].items():
        if int(status) >= 400:
            (kind,) = answer["content"]
            assert kind == MEDIA_TYPE
            exact = answer["content"][kind]["schema"]["allOf"][1]["properties"]
            assert exact["status"] == {"const": int(status)}
            found |= {(int(status), code) for code in exact["code"]["enum"]}
            assert all(f"`{code}`" in answer["description"] for code in exact["code"]["enum"])
    return found


def answer_to(raised: Raised) -> tuple[int, Any]:
    """How a client is told of what was raised."""
    if issubclass(raised.kind, CatalogError):
        return InvalidRequest.status, raised.code
    if raised.code in (400, 413):
        return raised.code, {400: "malformed_body", 413: "body_too_large"}[raised.code]
    return raised.kind.status, raised.code


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_error_that_a_call_can_raise_is_declared(name: str) -> None:
    route = ROUTES[name]
    raised = {one for part in parts_of(route.dependant) for one in raised_by(part.call)}
    raised |= raised_by(type(route).get_route_handler)
    told = {answer_to(one) for one in raised if one.kind not in ELSEWHERE}
    if needed_scope(route.tags, "GET") is None:
        told.discard((403, "missing_scope"))
    told -= OF_PARENTS if name == "create" else OF_PICTURES
    assert told <= declared(name)
    assert (StoreFull.status, StoreFull.code) in declared(name) or name not in MAKING


def test_what_can_be_raised_is_seen() -> None:
    """The reader of the code reads something."""
    seen = {raised.code for raised in raised_by(ROUTES["branch"].endpoint)}
    assert {"missing_field", "not_found", "not_ready", "too_short", "prompt_not_understood", "url_not_allowed"} <= seen
    assert {"idempotency_mismatch", "too_many_videos", "policy_refused", "image_lost", "store_unavailable"} <= seen


def test_without_a_key_nothing_is_declared_that_needs_one() -> None:
    for name, operation in OPERATIONS.items():
        assert ((401, "unauthorized") in declared(name)) == ("security" in operation), name
        needs_scope = "security" in operation and "models" not in operation["tags"]
        assert ((403, "missing_scope") in declared(name)) == needs_scope, name
        assert Refusal(500, "internal_error", "")[:2] in declared(name)


def test_a_video_leads_to_all_that_can_be_done_with_it() -> None:
    takes_a_video = {name for name, operation in OPERATIONS.items() if "video_id" in parameters(operation)}
    made = [answer for operation in OPERATIONS.values() for answer in operation["responses"].values()]
    videos = [answer for answer in made if schema_of(answer) in ("Video", "SteeredVideo")]
    assert len(videos) == 8
    for answer in videos:
        assert answer["links"].keys() == takes_a_video | {"extend", "edit"}


def test_every_link_gives_what_the_operation_takes() -> None:
    for operation in OPERATIONS.values():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                target = OPERATIONS[link["operationId"]]
                assert link.get("parameters", {}).keys() <= parameters(target)
                assert "requestBody" not in link or "requestBody" in target


def parameters(operation: Json) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", [])}


def schema_of(answer: Json) -> str:
    content = answer.get("content", {}).get("application/json", {})
    return str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]
