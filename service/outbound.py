"""The only way out to addresses that users name: posts that cannot be turned against our own network.

A name is resolved once, every address of it must be public, and the connection goes to an address that was
checked, under the name's Host and TLS name. No redirect is followed, no proxy of the environment is used, and
time and reply are capped. Knows nothing of what is posted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx

from service.errors import DeliveryRefused
from service.settings import Settings

REPLY_LIMIT_BYTES = 2048
URL_LIMIT_CHARS = 2048

#: (host, port) -> addresses
Resolve = Callable[[str, int], Awaitable[list[str]]]

# Unicast addresses that are handed out. What wraps an IPv4 address (6to4, Teredo, NAT64, mapped) is left out.
_GLOBAL_6 = ipaddress.ip_network("2000::/3")
_WRAPPING_6 = tuple(ipaddress.ip_network(block) for block in ("2002::/16", "2001::/32"))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its Retry-After if that is a number, and the beginning of its body."""

    status: int
    retry_after_s: float | None
    body: bytes


def is_public(address: str) -> bool:
    """Whether an address is one that anybody on the internet may have."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_multicast or ip.is_reserved or not ip.is_global:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return True
    return ip in _GLOBAL_6 and not any(ip in block for block in _WRAPPING_6)


def check_url(url: str, allow_private: tuple[str, ...]) -> httpx.URL:
    """The URL, if it may be posted to as far as can be told without asking for its addresses.

    Raises `DeliveryRefused`. A receiver that the operator allows by "host:port" (or "*") may be private,
    use any port, and do without TLS.
    """
    if len(url) > URL_LIMIT_CHARS or not url.isprintable() or " " in url:
        raise DeliveryRefused(f"A webhook URL has no spaces and at most {URL_LIMIT_CHARS} characters.")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise DeliveryRefused("The webhook URL cannot be read.") from error
    if not parsed.host or parsed.userinfo or parsed.fragment:
        raise DeliveryRefused("A webhook URL has a host, and neither a user name nor a fragment.")
    if _is_allowed(parsed, allow_private):
        if parsed.scheme not in ("http", "https"):
            raise DeliveryRefused("A webhook URL begins with https://.")
        return parsed
    if parsed.scheme != "https" or parsed.port not in (None, 443):
        raise DeliveryRefused("A webhook URL begins with https:// and uses port 443.")
    if _is_address(parsed.host) and not is_public(parsed.host):
        raise DeliveryRefused("A webhook cannot be posted to a private address.")
    return parsed


class Outbound:
    """Posts to addresses that users name. `resolve` is the system's unless given."""

    def __init__(self, settings: Settings, resolve: Resolve | None = None):
        self._allow, self._timeout_s = settings.webhook_allow_private, settings.webhook_timeout_s
        self._resolve = resolve or _ask_system

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Raises `DeliveryRefused` where there is no answer, or where we do not go."""
        target = check_url(url, self._allow)
        try:
            async with asyncio.timeout(self._timeout_s):
                address = await self._checked_address(target)
                return await self._post_to(address, target, body, headers)
        except TimeoutError as error:
            raise DeliveryRefused(f"No answer within {self._timeout_s:g} s.") from error
        except httpx.HTTPError as error:
            raise DeliveryRefused(f"No answer: {type(error).__name__}.") from error

    async def _checked_address(self, target: httpx.URL) -> str:
        try:
            addresses = await self._resolve(target.host, _port(target))
        except OSError as error:
            raise DeliveryRefused("The webhook's host name has no address.") from error
        if not addresses:
            raise DeliveryRefused("The webhook's host name has no address.")
        if not _is_allowed(target, self._allow) and not all(is_public(address) for address in addresses):
            raise DeliveryRefused("The webhook's host name has a private address.")
        return addresses[0]

    async def _post_to(self, address: str, target: httpx.URL, body: bytes, headers: Mapping[str, str]) -> Reply:
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=self._timeout_s) as client:
            request = client.build_request(
                "POST",
                target.copy_with(host=address),
                content=body,
                headers={**headers, "Host": target.netloc.decode("ascii")},
                extensions={"sni_hostname": target.raw_host.decode("ascii")},
            )
            answer = await client.send(request, stream=True)
            try:
                return Reply(answer.status_code, _retry_after_s(answer), await _beginning(answer))
            finally:
                await answer.aclose()


async def _beginning(answer: httpx.Response) -> bytes:
    """As much of the body as is kept, undecoded: a small compressed body may not become a large one."""
    body = b""
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) >= REPLY_LIMIT_BYTES:
            break
    return body[:REPLY_LIMIT_BYTES]


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
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdecimal() and len(text) < 10 else None
