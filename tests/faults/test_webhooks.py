"""An event reaches its receiver, signed, under one id: whatever the receiver does, and whoever dies on the way."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from tests.support.grounds import Grounds
from tests.support.house import until
from tests.support.processes import Process
from tests.support.receiver import Answer, Receiver

pytestmark = pytest.mark.processes

TIMEOUT_S = 1.0
TROUBLES = [
    Answer(500),
    Answer(503),
    Answer(302, {"location": "http://127.0.0.1:1/"}),
    Answer(429, {"retry-after": "1"}),
    Answer(200, delay_s=TIMEOUT_S + 1),  # too late
]
SHORT = {"num_frames": 1, "steps": 1, "refine": False}


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    made = Grounds(tmp_path_factory.mktemp("grounds"), LONGTAKE_WEBHOOK_TIMEOUT_S=str(TIMEOUT_S))
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def worker(grounds: Grounds) -> Process:
    return grounds.worker("render")


def check(grounds: Grounds, receiver: Receiver, video: str) -> None:
    """One event under one id, which the library of the specification takes at every attempt."""
    secret = grounds.http.get("/v1/webhooks/secret").raise_for_status().json()["secret"]
    assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
    for got in receiver.received:
        event = Webhook(secret).verify(got.body, got.headers)
        assert (event["type"], event["data"]["id"]) == ("video.completed", video)


def delivery(grounds: Grounds, video: str) -> dict[str, object]:
    rows = grounds.http.get("/v1/webhooks/deliveries").raise_for_status().json()["data"]
    return next(row for row in rows if row["video_id"] == video)


def test_an_event_arrives_through_any_three_troubles(grounds: Grounds, seed: int) -> None:
    """P11."""
    script = random.Random(seed).sample(TROUBLES, 3)
    with Receiver(*script, Answer(204)) as receiver:
        video = grounds.submit(**SHORT, webhook={"url": receiver.url})
        grounds.ended(video)
        until(lambda: delivery(grounds, video)["state"] == "delivered", "the event", 40)
    assert len(receiver.received) == 4
    check(grounds, receiver, video)


def test_an_event_whose_messenger_died_before_it_wrote_that_down_comes_again(grounds: Grounds) -> None:
    """P11: at least once, under the same id."""
    grounds.courier.pause()
    command = ("tests.support.doomed", "service.outbox:Outbox", "workers", "deliver")
    doomed = grounds.run("doomed-courier", *command, LONGTAKE_TEST_KILL_AT="record:before:1")
    with Receiver() as receiver:
        video = grounds.submit(**SHORT, webhook={"url": receiver.url})
        assert doomed.wait(60) == -9
        assert len(receiver.received) == 1
        grounds.courier.resume()
        until(lambda: delivery(grounds, video)["state"] == "delivered", "the event again", 60)
    assert len(receiver.received) == 2
    check(grounds, receiver, video)


def test_a_receiver_that_is_gone_for_good_is_not_asked_again(grounds: Grounds) -> None:
    """P11: 410."""
    with Receiver(Answer(410)) as receiver:
        for _ in range(2):
            video = grounds.submit(**SHORT, webhook={"url": receiver.url})
            grounds.ended(video)
            until(lambda: delivery(grounds, video)["state"] == "disabled", "the end of it", 20)  # noqa: B023
    assert len(receiver.received) == 1
