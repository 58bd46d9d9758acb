"""Prefixed identifiers: `video_`, `evt_`, `key_`, `req_`, `tenant_` and 26 letters of Crockford's base32.

The letters are a ULID: 48 bits of milliseconds and 80 random bits, so ids sort by the time they were made.
"""

from __future__ import annotations

import re
import secrets
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID = re.compile(r"([a-z]+)_[0-9A-HJKMNP-TV-Z]{26}")


def ulid() -> str:
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def new(prefix: str) -> str:
    """A fresh id, for example new("video")."""
    return f"{prefix}_{ulid()}"


def is_id(text: str, prefix: str | None = None) -> bool:
    """Whether `text` is a well-formed id (of that prefix)."""
    match = _ID.fullmatch(text)
    return match is not None and prefix in (None, match[1])
