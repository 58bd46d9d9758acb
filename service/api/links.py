"""Where each answer leads: the OpenAPI links from what a call answers to the calls that take its ids.

A table of names of schemas and of operations; knows nothing of what they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ID = "$response.body#/id"
_OF_A_VIDEO = ("get", "content", "stream", "events", "steer", "cancel", "branch", "remix", "delete")
_VIDEO: dict[str, Mapping[str, Any]] = {
    **{operation: {"parameters": {"video_id": _ID}} for operation in _OF_A_VIDEO},
    "extend": {"requestBody": {"video": {"id": _ID}}},
    "edit": {"requestBody": {"video": {"id": _ID}}},
}

#: By the schema of the answer: the operation that it leads to, and what of the answer that is given.
LINKS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "Video": _VIDEO,
    "SteeredVideo": _VIDEO,
    "VideoList": {
        "get": {"parameters": {"video_id": "$response.body#/data/0/id"}},
        "list_videos": {"parameters": {"after": "$response.body#/last_id"}},
    },
    "Deleted": {"get": {"parameters": {"video_id": _ID}}},  # which is then 404
    "ModelList": {"get_model": {"parameters": {"model_id": "$response.body#/data/0/id"}}},
    "ModelCard": {"create": {"requestBody": {"model": _ID}}},
    "DeliveryList": {
        "redeliver": {"parameters": {"delivery_id": "$response.body#/data/0/id"}},
        "get": {"parameters": {"video_id": "$response.body#/data/0/video_id"}},
        "list_deliveries": {"parameters": {"after": "$response.body#/last_id"}},
    },
    "DeliveryView": {
        "redeliver": {"parameters": {"delivery_id": _ID}},
        "get": {"parameters": {"video_id": "$response.body#/video_id"}},
    },
}


def links_of(schema: str) -> dict[str, Any]:
    """The links of an answer of this schema; none where it leads nowhere."""
    return {target: {"operationId": target, **given} for target, given in LINKS.get(schema, {}).items()}
