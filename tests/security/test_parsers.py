"""Bytes of strangers: whatever stands where we read something, it is read or refused, and never a fault of ours."""

from __future__ import annotations

import base64
import encodings.aliases
import io
import json
import struct
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from models import pictures, state
from models.model import CatalogError
from models.released.weights import open_weights
from models.streaming_t2v.convert import ConversionError
from service import ids, objects
from service.api import problems
from service.api.content import RangedFile, is_range
from service.api.reception import read_key
from service.errors import InvalidRequest, ServiceError, Unauthorized
from service.images import Images
from service.outbound import Outbound, _retry_after_s
from service.redaction import redact
from service.settings import Settings
from service.tickets import Tickets
from tests.service.api.conftest import PROMPT, order

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Header values as bytes: a server hands on what is no control character.
HEADER = st.binary(max_size=60).map(lambda raw: raw.translate(None, bytes([*range(32), 127])))


def near(*texts: str) -> st.SearchStrategy[str]:
    """Texts in the neighbourhood of those that are meant."""
    pieces = [piece for text in texts for piece in (text, text[:-1], text[1:], text.upper())]
    odd = st.sampled_from([*pieces, "", " ", ",", "-", "=", "/", "..", "\0", "٣", "é", "\u2028", "9" * 30, "\ud800"])
    return st.lists(odd | st.text(max_size=8), max_size=6).map("".join)


# Bodies

KINDS = sorted({*encodings.aliases.aliases.values(), "utf-8", "UTF-8", "undefined", "idna", "x" * 500, "a\0b"})
PARTS = st.lists(
    st.one_of(
        st.sampled_from([
            b"--b\r\n", b"--b--\r\n", b"\r\n", b"\r\n\r\n", b"--b", b"Content-Disposition: form-data\r\n\r\n",
            b'Content-Disposition: form-data; name="prompt"\r\n\r\n',
            b'Content-Disposition: form-data; name="prompts[][prompt]"\r\n\r\n',
            b'Content-Disposition: form-data; name="input_reference"; filename="../../a"\r\nContent-Type: a/b\r\n\r\n',
            b"Content-Transfer-Encoding: base64\r\n", b'Content-Disposition: form-data; name*=utf-8\'\'%ff\r\n\r\n',
            PROMPT.encode(), b"[{}]", b'{"a":', b"\xff\xfe", b"xn--a",
        ]),
        st.binary(max_size=12),
    ),
    max_size=14,
).map(b"".join)  # fmt: skip


@given(PARTS, st.sampled_from(KINDS), st.sampled_from([b"b", b"", b'"b"', b"b\xff", b"b" * 200]))
@few
def test_no_form_is_a_bug(api: TestClient, body: bytes, charset: str, boundary: bytes) -> None:
    kind = b"multipart/form-data; boundary=" + boundary + b"; charset=" + charset.encode().translate(None, b"\0")
    assert api.post("/v1/videos", content=body, headers={b"content-type": kind}).status_code < 500  # type: ignore[dict-item]


@pytest.mark.parametrize("charset", KINDS)
def test_a_form_is_read_in_utf_8_and_in_nothing_else(api: TestClient, charset: str) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + PROMPT.encode() + b"\r\n--b--\r\n"
    kind = f"multipart/form-data; boundary=b; charset={charset}"
    answer = api.post("/v1/videos", content=form, headers={"content-type": kind})
    meant = charset.lower() in ("utf-8", "utf8")
    assert (answer.status_code == 202) == meant and answer.status_code in (202, 415), (charset, answer.text)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(PROMPT)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner))
FIELDS = st.sampled_from([
    "prompt", "model", "seconds", "num_frames", "size", "seed", "negative_prompt", "prompts", "steps", "guidance_scale",
    "refine", "interpolate", "upscale", "webhook", "deadline_s", "priority", "metadata", "recipe", "input_reference",
])  # fmt: skip
SCHEDULES = st.lists(
    st.fixed_dictionaries({"at_seconds": st.floats() | st.integers() | LEAVES, "prompt": LEAVES | near(PROMPT)}),
    max_size=4,
)


@given(st.dictionaries(FIELDS, JSON, max_size=4), st.none() | SCHEDULES)
@many
def test_no_order_is_a_bug(api: TestClient, order: dict[str, object], schedule: list[object] | None) -> None:
    body = {"prompt": PROMPT, **order, **({} if schedule is None else {"prompts": schedule})}
    sent = json.dumps(body).encode()
    answer = api.post("/v1/videos", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code in (202, 400, 413, 422), answer.text


@given(near("https://example.com/a.png", "data:image/png;base64,", base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()))
@many
def test_no_address_of_a_picture_is_a_bug(url: str) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    with pytest.raises(ServiceError):
        Images(Settings(), Outbound(Settings(), resolve)).read(url)


# Headers and what stands in URLs


@given(HEADER, HEADER, HEADER)
@few
def test_no_header_is_a_bug(api: TestClient, one: bytes, two: bytes, three: bytes) -> None:
    headers = {
        b"idempotency-key": one,
        b"traceparent": two,
        b"tracestate": three,
        b"accept-encoding": one,
        b"range": two,
    }
    headers |= {b"if-none-match": three, b"last-event-id": one, b"content-type": b"application/json"}
    for path in ("/v1/videos", "/", "/v1/videos/video_" + "0" * 26 + "/events"):
        assert api.get(path, headers=headers).status_code < 500  # type: ignore[arg-type]
    body = json.dumps({"prompt": PROMPT}).encode()
    assert api.post("/v1/videos", content=body, headers=headers).status_code in (202, 422)  # type: ignore[arg-type]


@given(HEADER)
@few
def test_no_credential_that_is_made_up_is_more_than_refused(api: TestClient, made_up: bytes) -> None:
    for scheme in (b"Bearer ", b"bearer ltk_", b""):
        headers = {b"authorization": scheme + made_up}
        assert api.get("/v1/videos", headers=headers).status_code == 401  # type: ignore[arg-type]


@given(near("video_" + "0" * 26, "0123456789-", "bytes=0-9"))
@few
def test_no_cursor_is_a_bug(api: TestClient, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # no client could send it
    video = order(api)["id"]
    api.post(f"/v1/videos/{video}/cancel")
    answer = api.get(f"/v1/videos/{video}/events", params={"after": text})
    assert answer.status_code in (200, 204, 422), answer.text
    for path in ("/v1/videos", "/v1/webhooks/deliveries"):
        assert api.get(path, params={"after": text}).status_code in (200, 422)
    named = api.get("/v1/videos", params={f"metadata[{text}]": text, "limit": text})
    assert named.status_code in (200, 422)


@given(text=near("1795276800-" + "A" * 43))
@many
def test_no_ticket_that_is_made_up_opens_a_video(client: object, settings: Settings, text: str) -> None:
    with pytest.raises(Unauthorized):
        Tickets(client, settings).open("video_" + "0" * 26, text)  # type: ignore[arg-type]


def test_a_ticket_opens_its_video_until_its_end_and_no_other(client: object, settings: Settings) -> None:
    tickets = Tickets(client, settings)  # type: ignore[arg-type]
    mine, other = ids.new("video"), ids.new("video")
    ticket = tickets.issue(mine)
    until, signature = ticket.split("-", 1)
    later = f"{int(until) + 86_400}-{signature}"
    for video, forged in ((other, ticket), (mine, later), (mine, ticket[:-1] + ("A" if ticket[-1] != "A" else "B"))):
        with pytest.raises(Unauthorized, match="does not open"):
            tickets.open(video, forged)
    with pytest.raises(Unauthorized, match="expired"):
        tickets.open(mine, tickets.issue(mine, now=0))


BODY = bytes(range(100))


@pytest.fixture
def served(tmp_path: Path) -> TestClient:
    (tmp_path / "file").write_bytes(BODY)
    app = FastAPI()
    problems.install(app)
    app.get("/")(lambda: RangedFile(tmp_path / "file", media_type="video/mp4"))
    return TestClient(app)


@given(text=near("bytes=0-9", "bytes=-5", "bytes=5-", "0-0", "bytes"))
@many
def test_no_range_is_a_bug_or_more_than_the_file(served: TestClient, text: str) -> None:
    is_range(text)
    sent = text.encode("utf-8", "replace").translate(None, bytes([*range(32), 127]))
    answer = served.get("/", headers={b"range": sent})  # type: ignore[dict-item]
    assert answer.status_code in (200, 206, 416)
    if answer.status_code == 200:
        assert answer.content == BODY
    if answer.status_code == 206 and "multipart" not in answer.headers["content-type"]:
        assert answer.content in BODY
    assert len(answer.content) < 20 * len(BODY)


@given(near("once", '"once"', "x" * 255))
@many
def test_an_idempotency_key_is_told_by_its_digest_alone(text: str) -> None:
    try:
        kept = read_key(text)
    except InvalidRequest:
        return
    assert len(kept) == 64 and int(kept, 16) >= 0


@given(near("120", "Wed, 21 Oct 2015 07:28:00 GMT", "-1", "1e9"))
@many
def test_no_answer_of_a_receiver_is_a_bug(text: str) -> None:
    class Answered:
        headers = {"retry-after": text}

    wait_s = _retry_after_s(Answered())  # type: ignore[arg-type]
    assert wait_s is None or wait_s >= 0


@given(near("video_" + "0" * 26, "tenant_A", "../..", "a.mp4"))
@many
def test_what_passes_for_an_id_or_a_key_has_nothing_that_leads_elsewhere(text: str) -> None:
    if ids.is_id(text):
        assert text.isascii() and text.isprintable() and not set(text) & set("/.\\:*? ")
    try:
        made = objects.key("tenant_A", "video_A", text)
    except ValueError:
        return
    assert made.isascii() and made.isprintable() and made.count("/") == 2 and not text.startswith(".")


@given(st.text(max_size=200))
@many
def test_redaction_takes_nothing_but_secrets_and_ends(text: str) -> None:
    assert redact(f"ltk_A_{'x' * 20} {text}").startswith("ltk_A_…")


# Files


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(file, kind, **options)
    return file.getvalue()


SEEDS = [saved("PNG"), saved("JPEG", progressive=True), saved("WEBP"), saved("WEBP", lossless=True), b"GIF89a"]
CHANGES = st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=6), st.integers(0, 8)), max_size=5)


def changed(seed: bytes, changes: list[tuple[int, bytes, int]]) -> bytes:
    """The seed with a few bytes put in, taken out or replaced."""
    data = bytearray(seed)
    for at, put, taken in changes:
        at %= len(data) + 1
        data[at : at + taken] = put
    return bytes(data)


@given(st.sampled_from(SEEDS), CHANGES)
@many
def test_no_picture_is_a_bug(seed: bytes, changes: list[tuple[int, bytes, int]]) -> None:
    try:
        image = pictures.decode(changed(seed, changes))
    except CatalogError as refused:
        assert refused.code in ("image_unreadable", "image_too_large")
        return
    assert image.mode == "RGB" and max(image.size) <= pictures.MAX_SIDE
    assert pictures.decode(pictures.png(image)).tobytes() == image.tobytes()


HEADERS = st.dictionaries(
    st.sampled_from(["a", "b", "__metadata__"]),
    st.fixed_dictionaries({
        "dtype": st.sampled_from(["F32", "U8", "X", 1]),
        "shape": st.lists(st.sampled_from([0, 1, -1, 4, 2**62, 2**70, "x"]), max_size=3),
        "data_offsets": st.lists(st.sampled_from([0, 4, 8, -4, 2**40, 2**70, "x"]), max_size=3),
    })
    | st.none() | st.integers() | st.text(max_size=3),
).map(lambda header: json.dumps(header).encode())  # fmt: skip


@given(HEADERS | st.binary(max_size=40) | st.just(b"[" * 5000), st.none() | st.integers(0, 2**64 - 1))
@many
def test_no_header_of_a_checkpoint_is_a_bug(tmp_path: Path, header: bytes, length: int | None) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + bytes(16))
    try:
        weights = open_weights(file)
        for key in weights.like:
            weights.read(key)
    except ConversionError:
        pass


@given(st.binary(max_size=60), st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x05\x95"]))
@few
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_no_released_file_is_a_bug(tmp_path: Path, data: bytes, magic: bytes) -> None:
    (tmp_path / "weights.ckpt").write_bytes(magic + data)
    with pytest.raises(ConversionError):
        open_weights(tmp_path / "weights.ckpt")


@given(st.binary(max_size=80))
@few
def test_a_state_that_is_none_is_an_error_that_a_worker_survives(data: bytes) -> None:
    with pytest.raises(Exception) as error:  # noqa: B017
        state.loads(data)
    assert not isinstance(error.value, MemoryError | RecursionError)
