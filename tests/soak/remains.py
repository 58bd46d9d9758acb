"""What is left of videos when all are gone: keys and members in the store, objects in the bucket. Nothing should be.

Reads whatever is there, and looks for the ids of videos and of their events.
"""

from __future__ import annotations

import re
from typing import Any

import redis

from tests.soak.gauges import objects
from tests.support.s3 import S3Server

_OURS = re.compile(r"(video|evt)_[0-9A-HJKMNP-TV-Z]{26}")
_MEMORY = "longtake:idempotency:"  # goes by itself


def remains(client: redis.Redis, server: S3Server) -> list[str]:
    return [*_in_store(client), *(name for name in objects(server) if _OURS.search(name))]


def _in_store(client: Any) -> list[str]:
    found = []
    for name in client.scan_iter("*"):
        if name.startswith(_MEMORY):
            continue
        said = " ".join([name, *map(str, _content(client, name))])
        if match := _OURS.search(said):
            found.append(f"{name}: {match[0]}")
    return found


def _content(client: Any, name: str) -> Any:
    kind = client.type(name)
    if kind == "hash":
        return [word for pair in client.hgetall(name).items() for word in pair]
    if kind == "zset":
        return client.zrange(name, 0, -1)
    if kind == "set":
        return client.smembers(name)
    if kind == "list":
        return client.lrange(name, 0, -1)
    return [client.get(name)] if kind == "string" else []
