"""The only way out to addresses that users name: posts and gets that cannot be turned against our own network.

A name is resolved once, every address of it must be public, and the connection goes to an address that was
checked, under the name's Host and TLS name. No redirect is followed, no proxy of the environment is used, and
time and reply are capped. Knows nothing of what is posted or fetched.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from service.errors import DeliveryRefused
from service.settings import Settings

REPLY_LIMIT_BYTES = 2048
URL_LIMIT_CHARS = 2048

#: (host, port) -> addresses
Resolve = Callable[[str, int], Awaitable[list[str]]]

# Unicast addresses that are handed out, without those that wrap an IPv4 address (6to4, Teredo, NAT64, mapped), and
# those of documentation (RFC 9637), which Python knows only since 3.13.
_GLOBAL_6 = ipaddress.ip_network("2000::/3")
_NOT_GLOBAL_6 = tuple(ipaddress.ip_network(block) for block in ("2002::/16", "2001::/32", "3fff::/20"))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its Retry-After in seconds, and the beginning of its body."""

    status: int
    retry_after_s: float | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a kind of call may go beside the public internet ("host:port", or "*"), and how long it may take."""

    allow_private: tuple[str, ...]
    timeout_s: float


def is_public(address: str) -> bool:
    """Whether an address is one that anybody on the internet may have."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_multicast or ip.is_reserved or not ip.is_global:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return True
    return ip in _GLOBAL_6 and not any(ip in block for block in _NOT_GLOBAL_6)


def check_url(url: str, allow_private: tuple[str, ...]) -> httpx.URL:
    """The URL, if it may be called as far as can be told without asking for its addresses.

    Raises `DeliveryRefused`. A host that the operator allows by "host:port" (or "*") may be private,
    use any port, and do without TLS.
    """
    if len(url) > URL_LIMIT_CHARS or not url.isprintable() or " " in url:
        raise DeliveryRefused(f"The URL is to have no spaces and at most {URL_LIMIT_CHARS} characters.")
    try:
        parsed = httpx.URL(url)
        host = parsed.host  # a name in other letters (xn--…) is decoded only now
    except (httpx.InvalidURL, ValueError) as error:
        raise DeliveryRefused("The URL cannot be read.") from error
    if not host or parsed.userinfo or parsed.fragment:
        raise DeliveryRefused("The URL is to have a host, and neither a user name nor a fragment.")
    if _is_allowed(parsed, allow_private):
        if parsed.scheme not in ("http", "https"):
            raise DeliveryRefused("The URL is to begin with https://.")
        return parsed
    if parsed.scheme != "https" or parsed.port not in (None, 443):
        raise DeliveryRefused("The URL is to begin with https:// and to use port 443.")
    if _is_address(host) and not is_public(host):
        raise DeliveryRefused("The URL has a private address.")
    return parsed


class Outbound:
    """Calls addresses that users name. `resolve` is the system's unless given.

    Webhooks and pictures have lists of their own for what may be private: a receiver that may be told of events is
    not for that a place that every tenant may read from.
    """

    def __init__(self, settings: Settings, resolve: Resolve | None = None):
        self._webhooks = Reach(settings.webhook_allow_private, settings.webhook_timeout_s)
        self._images = Reach(settings.image_allow_private, settings.image_timeout_s)
        self._resolve = resolve or _ask_system

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """A webhook. Raises `DeliveryRefused` where there is no answer, or where we do not go."""
        async with self._answer("POST", url, self._webhooks, headers, body) as answer:
            return Reply(answer.status_code, _retry_after_s(answer), await _beginning(answer, REPLY_LIMIT_BYTES))

    async def get_image(self, url: str, limit_bytes: int) -> bytes:
        """A picture, whole. Raises `DeliveryRefused` where there is none, or a larger one, or where we do not go."""
        headers = {"Accept": "image/png, image/jpeg, image/webp", "Accept-Encoding": "identity"}
        async with self._answer("GET", url, self._images, headers) as answer:
            if answer.status_code != 200:
                raise DeliveryRefused(f"The server answers {answer.status_code}; no redirect is followed.")
            if not answer.headers.get("content-type", "").lower().startswith("image/"):
                raise DeliveryRefused("The server does not say that this is a picture (content-type image/…).")
            body = await _beginning(answer, limit_bytes + 1)
            if not 0 < len(body) <= limit_bytes:
                raise DeliveryRefused(f"The server sends nothing, or more than {limit_bytes} bytes.")
            return body

    @asynccontextmanager
    async def _answer(
        self, method: str, url: str, reach: Reach, headers: Mapping[str, str], content: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The answer, of which the body is still to be read: that counts to the time."""
        target = check_url(url, reach.allow_private)
        try:
            async with asyncio.timeout(reach.timeout_s):
                address = await self._checked_address(target, reach)
                to_name: dict[str, Any] = {
                    "headers": {**headers, "Host": target.netloc.decode("ascii")},
                    "extensions": {"sni_hostname": target.raw_host.decode("ascii")},
                }
                async with (
                    httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=reach.timeout_s) as client,
                    client.stream(method, target.copy_with(host=address), content=content, **to_name) as answer,
                ):
                    yield answer
        except TimeoutError as error:
            raise DeliveryRefused(f"No answer within {reach.timeout_s:g} s.") from error
        except httpx.HTTPError as error:
            raise DeliveryRefused(f"No answer: {type(error).__name__}.") from error

    async def _checked_address(self, target: httpx.URL, reach: Reach) -> str:
        try:
            addresses = await self._resolve(target.host, _port(target))
        except (OSError, UnicodeError) as error:  # the second: a name that no resolver would be asked for, as a..b
            raise DeliveryRefused("The host name has no address.") from error
        if not addresses:
            raise DeliveryRefused("The host name has no address.")
        if not _is_allowed(target, reach.allow_private) and not all(is_public(address) for address in addresses):
            raise DeliveryRefused("The host name has a private address.")
        return addresses[0]


async def _beginning(answer: httpx.Response, limit_bytes: int) -> bytes:
    """As much of the body as is kept, undecoded: a small compressed body may not become a large one."""
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) >= limit_bytes:
            break
    return bytes(body[:limit_bytes])


async def _ask_system(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _port(url: httpx.URL) -> int:
    return url.port or {"http": 80}.get(url.scheme, 443)


def _is_allowed(url: httpx.URL, allow_private: tuple[str, ...]) -> bool:
    return "*" in allow_private or f"{url.host}:{_port(url)}" in allow_private


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _retry_after_s(answer: httpx.Response) -> float | None:
    """Seconds, or the date that RFC 9110 also allows; None for anything else."""
    text = answer.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text) if len(text) < 10 else None
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - time.time())
    except (ArithmeticError, LookupError, TypeError, ValueError):  # whatever a receiver writes there
        return None
