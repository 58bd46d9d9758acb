"""Log and header injection: one event is one line, whatever a user writes, and neither prompts nor secrets are told."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.redaction import redact, told
from service.settings import Settings
from service.store import Store
from service.telemetry import configure_logging
from tests.security.conftest import GuardedHouse
from tests.service.api.conftest import PROMPT, order

NASTY = 'line\r\nbreak \x1b[31mred\x1b[0m \u2028\u2029\x85\x0b { " \u202e ltk_01ABC_secretsecret'
FORGED = '\r\n{"level": "error", "message": "forged"}\r\nX-Forged: 1\x1b]0;forged\x07 \u2028 \x00'


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize("form", ["json", "text"])
def test_one_event_is_one_line_without_secrets(logged: io.StringIO, form: str) -> None:
    configure_logging(Settings(log_format=form), logged)  # type: ignore[arg-type]
    logging.getLogger("test").info("said %s", NASTY, extra={"what": NASTY})
    text = logged.getvalue()
    assert len(text.splitlines()) == 1 and "secretsecret" not in text and "\x1b" not in text
    assert text.replace("…", "").isascii()
    if form == "json":
        assert json.loads(text)["what"].startswith("line\r\nbreak")


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_an_error_says_forges_no_line_and_tells_no_secret(logged: io.StringIO, form: str) -> None:
    """For a person the trace has lines of its own: each is set in, so none passes for an event."""
    configure_logging(Settings(log_format=form), logged)  # type: ignore[arg-type]
    try:
        raise ValueError(f"{NASTY}{FORGED} redis://api:secretsecret@host/0")
    except ValueError:
        logging.getLogger("test").exception("it broke")
    first, *others = logged.getvalue().splitlines()
    assert "it broke" in first and all(line.startswith("  ") for line in others)
    assert (form == "json") == (others == [])
    assert "secretsecret" not in logged.getvalue() and "\x1b" not in logged.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hidden",
        "ltk_01M7W8Q9JF80RRKM4QTZGGVZ4E_hidden-hidden_hidden",
        "whsec_hidden+/hidden==",
        "https://s3/x?X-Amz-Signature=hidden&X-Amz-Credential=hidden",
        "redis://:hidden@127.0.0.1:6379/0",
        "rediss://user:hidden@host/0",
        "/v1/videos/video_A/stream.m3u8?token=hidden-hidden",
    ],
)
def test_secrets_of_every_kind_are_cut_out(text: str) -> None:
    assert "hidden" not in redact(text)


def test_a_prompt_is_told_by_its_length_unless_the_operator_wants_it() -> None:
    assert "red circle" not in str(told("a red circle", Settings()))
    assert told("a red circle", Settings(log_prompts=True)) == {"prompt": "a red circle"}


def test_whatever_is_ordered_one_line_is_logged_and_nothing_of_what_was_written(
    api: TestClient, store: Store, log: io.StringIO
) -> None:
    prompts = [f"{PROMPT} {FORGED}", f"{PROMPT} {NASTY}", f"forged {PROMPT}".ljust(1900, "x"), FORGED * 20_000]
    for prompt in prompts:
        seen = len(log.getvalue().splitlines())
        hook = {"url": f"https://example.com/?forged={FORGED}"}
        bodies = [
            {"prompt": prompt},
            {"prompt": PROMPT, "metadata": {"forged": prompt[:500]}, "negative_prompt": prompt},
            {"prompt": PROMPT, "model": prompt},
            {"prompt": PROMPT, prompt[:100]: 1},
            {"prompt": PROMPT, "webhook": hook},
        ]
        for body in bodies:
            api.post("/v1/videos", json=body)
        lines = log.getvalue().splitlines()[seen:]
        requests = [json.loads(line) for line in lines]
        assert sum(line["message"] == "request" for line in requests) == len(bodies)
    text = log.getvalue()
    assert "forged" not in text and "red circle" not in text and "secretsecret" not in text
    assert text.isascii() and all(json.loads(line)["level"] != "error" for line in text.splitlines())


def test_nothing_that_a_user_writes_becomes_a_header(api: TestClient, store: Store) -> None:
    made = order(api, prompt=f"{PROMPT} forged{FORGED}", metadata={"forged": f"forged{FORGED}"})["id"]
    sent = {b"idempotency-key": b"forged", b"x-request-id": b"forged", b"traceparent": b"forged", b"origin": b"forged"}
    answers = [
        api.get(f"/v1/videos/{made}", headers=sent),  # type: ignore[arg-type]
        api.get("/v1/videos/forged%0d%0aX-Forged:%201", headers=sent),  # type: ignore[arg-type]
        api.get("/v1/videos", params={"after": f"forged{FORGED}", "metadata[forged]": FORGED}),
        api.get(f"/v1/videos/{made}/content", params={"variant": f"forged{FORGED}"}),
        api.post("/v1/videos", json={"prompt": PROMPT, "model": f"forged{FORGED}"}, headers=sent),  # type: ignore[arg-type]
        api.post("/v1/videos", json={"prompt": PROMPT}, headers=sent),  # type: ignore[arg-type]
    ]
    for answer in answers:
        assert "forged" not in str(answer.headers).lower(), answer.headers
        assert not any("\r" in value or "\n" in value for value in answer.headers.values())


@pytest.mark.processes
def test_no_process_tells_a_prompt_while_a_video_is_made(house: GuardedHouse) -> None:
    """API, worker and courier, with what Celery and the others write too."""
    video = house.submit(prompt=f"{PROMPT} forgedword", negative_prompt="forgedword", num_frames=16, refine=False)
    assert house.ended(video)["status"] == "completed"
    house.http.delete(f"/v1/videos/{video}")
    logs = {process.name: process.log.read_text() for process in house.processes}
    assert set(logs) == {"api", "deliver", "render"} and video in logs["api"]
    for name, text in logs.items():
        passwords = [house.valkey.url_of(role).split(":")[2].split("@")[0] for role in ("api", "worker", "courier")]
        for secret in ("forgedword", "red circle", *passwords):
            assert secret not in text, name
