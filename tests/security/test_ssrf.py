"""SSRF: what users name, whether a webhook or a picture, never leads into our own network.

No URL of the table may open a single connection, whatever a resolver says of it: an audit hook sees every one that
this process asks for, on any port, and lets none through while the test runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import DeliveryRefused
from service.outbound import Outbound, Reply, Resolve, check_url, is_public
from service.settings import Settings
from tests.support.receiver import Answer, Receiver

PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1",
    "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1",
    "2002:7f00:1::", "2002:808:808::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fe80::1%eth0", "ff02::1", "100::1",
]  # fmt: skip

#: Refused by what they are, before any look-up.
NO_RECEIVER = [
    "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "example.com",
    "", "https://", "https:///path", "https://user@example.com/", "https://user:word@example.com/",
    "https://example.com/#part", "https://example.com:8443/", "https://example.com:22/", "https://example.com:0/",
    "https://example.com:99999/", "https://exa mple.com/", "https://example.com/\r\nX: y", "https://example.com/\tx",
    "https://example.com/" + "x" * 3000, "https://[::1/", "javascript:alert(1)", "https://169.254.169.254/latest",
    "https://127.0.0.1:443/", "https://127.0.0.1:6379/", "https://[0:0:0:0:0:ffff:7f00:1]/",
    "https://127\u30020\u30020\u30021/", "https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "https://\xad127.0.0.1/",
    "https://127.0.0.1\u200b/", "https://\u24dbocalhost/", "https://0251.0376.0251.0376/",
    "https://example.com@127.0.0.1/", "https://127.0.0.1@example.com/", "https://127.0.0.1%23@example.com/",
    "https://example.com\\@127.0.0.1/", "https:/\\127.0.0.1/", "https:127.0.0.1", "//127.0.0.1/", "https://xn--a/",
    "https://[1.2.3.4]/", "https://[v1.x]/", "dict://127.0.0.1:6379/", "unix:///run/redis.sock",
] + [f"https://[{address}]/" if ":" in address else f"https://{address}/" for address in PRIVATE]  # fmt: skip

#: Spellings that the system's resolver takes for an address of this machine, or names that mean it, or no name at all.
LOCAL_NAMES = [
    "localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1", "2130706433", "0x7f.1", "0x7f000001", "017700000001",
    "0", "0x0", "127.0.0.1.", "1.2.3.4.5",
    "%6c%6f%63alhost", "localhost%00.example.com", "a..b", ".example.com", "a" * 64 + ".com",
]  # fmt: skip
NAMED = [f"https://{name}/" for name in LOCAL_NAMES]

#: Names of anybody's whose addresses are ours, as a resolver gives them.
ANSWERS = [
    ["127.0.0.1"], ["::1"], ["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"],
    ["8.8.8.8", "::ffff:10.0.0.1"], ["2606:4700:4700::1111", "fd00::1"], ["fe80::1%eth0"], ["64:ff9b::a9fe:a9fe"], [],
]  # fmt: skip

Call = Callable[[Outbound, str], object]


def post(outbound: Outbound, url: str, body: bytes = b"{}") -> Reply:
    return asyncio.run(outbound.post(url, body, {"content-type": "application/json"}))


def get(outbound: Outbound, url: str, limit_bytes: int = 1000) -> bytes:
    return asyncio.run(outbound.get_image(url, limit_bytes))


class Canary:
    """Sees every connection that this process asks for while it watches, and breaks it off."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.watches = False
        sys.addaudithook(self._look)  # for good: there is no way to take one away

    def _look(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.watches and event == "socket.connect":
            place = arguments[1]
            self.seen.append(str(place[0] if isinstance(place, tuple) else place))
            raise ConnectionRefusedError("broken off by the test")


ONLY = Canary()


@pytest.fixture
def canary() -> Iterator[Canary]:
    ONLY.seen.clear()
    ONLY.watches = True
    yield ONLY
    ONLY.watches = False


def says(*answers: list[str]) -> Resolve:
    """A resolver that gives these answers one after the other, the last one for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def test_the_canary_sees_a_connection(canary: Canary) -> None:
    """And so what it does not see was not asked for."""
    with pytest.raises(DeliveryRefused, match="ConnectError"):
        post(Outbound(Settings(), says(["8.8.8.8"])), "https://receiver.example/")
    assert canary.seen == ["8.8.8.8"]
    with pytest.raises(DeliveryRefused, match="ConnectError"):
        post(Outbound(Settings(webhook_allow_private=("*",))), "http://127.0.0.1:9/")
    assert canary.seen == ["8.8.8.8", "127.0.0.1"]


@pytest.mark.parametrize("call", [post, get])
def test_no_url_of_the_table_opens_a_connection(canary: Canary, call: Call) -> None:
    assert len({*NO_RECEIVER, *NAMED}) >= 90
    for url in (*NO_RECEIVER, *NAMED):
        with pytest.raises(DeliveryRefused):
            call(Outbound(Settings()), url)
            pytest.fail(f"called: {url!r}")
    assert canary.seen == []


@pytest.mark.parametrize("call", [post, get])
@pytest.mark.parametrize("addresses", ANSWERS, ids=str)
def test_one_private_address_of_a_name_refuses_it(canary: Canary, call: Call, addresses: list[str]) -> None:
    with pytest.raises(DeliveryRefused, match="address"):
        call(Outbound(Settings(), says(addresses)), "https://receiver.example/")
    assert canary.seen == []


@pytest.mark.parametrize("call", [post, get])
@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long"), OSError()], ids=repr)
def test_a_look_up_that_fails_is_no_way_around_the_check(canary: Canary, call: Call, error: Exception) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise error

    with pytest.raises(DeliveryRefused, match="no address"):
        call(Outbound(Settings(), resolve), "https://127.0.0.1.nip.example/")
    assert canary.seen == []


@pytest.mark.parametrize("call", [post, get])
def test_a_name_that_changes_its_mind_never_leads_home(canary: Canary, call: Call) -> None:
    """DNS rebinding: whichever answer is asked for, it is the checked one that is called; at each call anew."""
    outbound = Outbound(Settings(), says(["8.8.8.8"], ["127.0.0.1"], ["1.1.1.1"], ["10.0.0.1"]))
    for refusal in ("ConnectError", "private", "ConnectError", "private"):
        with pytest.raises(DeliveryRefused, match=refusal):
            call(outbound, "https://receiver.example/")
    assert canary.seen == ["8.8.8.8", "1.1.1.1"]


@given(st.text(max_size=60).flatmap(lambda text: st.sampled_from([f"https://{text}", f"https://{text}/", text])))
@settings(max_examples=150, deadline=None)
def test_no_text_is_more_than_refused(url: str) -> None:
    try:
        parsed = check_url(url, ())
    except DeliveryRefused:
        return
    assert parsed.scheme == "https" and parsed.port in (None, 443) and not parsed.userinfo
    post_refused(Outbound(Settings(webhook_timeout_s=5), says(["10.0.0.1"])), url)


def post_refused(outbound: Outbound, url: str) -> None:
    with pytest.raises(DeliveryRefused):
        post(outbound, url)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_anybodys_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::1"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("url", NO_RECEIVER)
def test_a_url_that_can_be_no_receiver_is_refused_before_any_look_up(url: str) -> None:
    with pytest.raises(DeliveryRefused):
        check_url(url, ())


def test_what_the_operator_allows_may_be_private_and_plain() -> None:
    assert check_url("http://127.0.0.1:9000/hook", ("127.0.0.1:9000",)).port == 9000
    assert check_url("http://receiver.internal/hook", ("*",)).host == "receiver.internal"
    with pytest.raises(DeliveryRefused):
        check_url("http://127.0.0.1:9001/hook", ("127.0.0.1:9000",))
    with pytest.raises(DeliveryRefused):
        check_url("ftp://127.0.0.1:9000/hook", ("127.0.0.1:9000",))


def test_the_receiver_is_called_by_its_name_at_the_checked_address() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with Receiver() as receiver:
        port = receiver.address.split(":")[1]
        outbound = Outbound(Settings(webhook_allow_private=("*",)), resolve)
        assert post(outbound, f"http://receiver.example:{port}/a?b=c").status == 200
        (request,) = receiver.received
        assert (request.headers["host"], request.path) == (f"receiver.example:{port}", "/a?b=c")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for receiver.example, of an authority that outgoing connections trust."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    place, name = tmp_path / "cert.pem", "receiver.example"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made += ["-keyout", str(place), "-out", str(tmp_path / "ca.pem")]
    made += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run(made, check=True, capture_output=True)
    place.write_text(place.read_text() + (tmp_path / "ca.pem").read_text())
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place)
    return context


def test_tls_is_checked_against_the_name_and_not_against_the_address(certificate: ssl.SSLContext) -> None:
    asked: list[str | None] = []
    certificate.sni_callback = lambda socket, name, context: asked.append(name)  # type: ignore[assignment]

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with Receiver(tls=certificate) as receiver:
        port = receiver.address.split(":")[1]
        outbound = Outbound(Settings(webhook_allow_private=("*",)), resolve)
        assert post(outbound, f"https://receiver.example:{port}/").status == 200
        with pytest.raises(DeliveryRefused, match="ConnectError"):
            post(outbound, f"https://other.example:{port}/")
    assert asked == ["receiver.example", "other.example"] and len(receiver.received) == 1


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with Receiver() as canary, Receiver(Answer(302, {"location": canary.url})) as receiver:
        outbound = Outbound(Settings(webhook_allow_private=(receiver.address, canary.address)))
        assert post(outbound, receiver.url).status == 302
        assert canary.received == []


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "")
        assert post(Outbound(Settings(webhook_allow_private=("*",))), receiver.url).status == 200
        assert proxy.received == []


def test_a_long_reply_is_cut_and_a_slow_one_is_left() -> None:
    settings = Settings(webhook_allow_private=("*",), webhook_timeout_s=0.5)
    with Receiver(Answer(body=b"x" * 5_000_000), Answer(delay_s=5)) as receiver:
        assert len(post(Outbound(settings), receiver.url).body) == 2048
        start = time.monotonic()
        with pytest.raises(DeliveryRefused, match="within"):
            post(Outbound(settings), receiver.url)
        assert time.monotonic() - start < 1.5


def test_a_reply_that_never_ends_is_left_at_the_time_limit() -> None:
    """One byte now and then: every single read is in time, the whole is not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def run() -> None:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = Settings(webhook_allow_private=("*",), webhook_timeout_s=0.5)
        with pytest.raises(DeliveryRefused):
            await Outbound(settings).post(f"http://127.0.0.1:{port}/", b"", {})
        server.close()

    start = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - start < 2


def picture(body: bytes = b"pixels", **changes: object) -> Answer:
    return Answer(headers={"content-type": "image/png"}, body=body, **changes)  # type: ignore[arg-type]


def test_a_picture_is_fetched_whole_and_only_where_the_operator_lets_pictures_come_from() -> None:
    with Receiver(picture(b"x" * 1000)) as server:
        allowed = Settings(image_allow_private=(server.address,))
        assert get(Outbound(allowed), server.url) == b"x" * 1000
        (request,) = server.received
        assert request.headers["accept-encoding"] == "identity" and "authorization" not in request.headers
        with pytest.raises(DeliveryRefused):  # to post there is another permission
            get(Outbound(Settings(webhook_allow_private=("*",))), server.url)
        with pytest.raises(DeliveryRefused):
            post(Outbound(allowed), server.url)
        assert len(server.received) == 1


def test_a_picture_comes_from_the_address_that_was_checked() -> None:
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    with Receiver(picture()) as server:
        port = server.address.split(":")[1]
        outbound = Outbound(Settings(image_allow_private=(f"pictures.example:{port}",)), resolve)
        assert get(outbound, f"http://pictures.example:{port}/a.png") == b"pixels"
        assert asked == ["pictures.example"]
        assert server.received[0].headers["host"] == f"pictures.example:{port}"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(302, {"location": "http://127.0.0.1:1/"}), "302"),
        (Answer(404), "404"),
        (Answer(206, {"content-type": "image/png"}), "206"),
        (Answer(body=b"<html>"), "content-type"),
        (Answer(headers={"content-type": "text/html; image/png"}), "content-type"),
        (picture(b""), "nothing"),
        (picture(b"x" * 1001), "1000 bytes"),
        (picture(b"x" * 50_000_000), "1000 bytes"),
        (picture(delay_s=5), "within"),
    ],
)
def test_what_is_no_picture_of_the_right_size_in_time_is_refused(answer: Answer, says: str) -> None:
    with Receiver(answer) as server:
        start = time.monotonic()
        settings = Settings(image_allow_private=("*",), image_timeout_s=0.5)
        with pytest.raises(DeliveryRefused, match=says):
            get(Outbound(settings), server.url)
        assert len(server.received) == 1 and time.monotonic() - start < 3


def test_a_small_answer_does_not_unpack_into_a_large_one() -> None:
    packed = gzip.compress(bytes(10_000_000))
    answer = Answer(headers={"content-type": "image/png", "content-encoding": "gzip"}, body=packed)
    with Receiver(answer) as server:
        fetched = get(Outbound(Settings(image_allow_private=("*",))), server.url, len(packed))
        assert fetched == packed


def test_a_picture_that_never_ends_is_left_at_the_time_limit_or_at_its_size() -> None:
    async def drip(pieces: bytes, pause_s: float, says: str) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(pieces)
                    await writer.drain()
                    await asyncio.sleep(pause_s)

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = Settings(image_allow_private=("*",), image_timeout_s=0.5)
        with pytest.raises(DeliveryRefused, match=says):
            await Outbound(settings).get_image(f"http://127.0.0.1:{port}/", 1000)
        server.close()

    asyncio.run(drip(b"x", 0.05, "within"))
    asyncio.run(drip(b"x" * 100, 0, "1000 bytes"))
