"""What a receiver of webhooks gets, judged by the library of the specification."""

from __future__ import annotations

import json
import time

import pytest
from standardwebhooks import Webhook

from tests.support.house import House, until
from tests.support.receiver import Answer, Receiver

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]


def test_a_receiver_that_fails_twice_gets_the_third(house: House) -> None:
    with Receiver(Answer(500), Answer(503), Answer(204)) as receiver:
        video = house.submit(num_frames=16, refine=False, webhook={"url": receiver.url})
        house.finished(video)
        until(lambda: len(receiver.received) == 3, "the third attempt")
        time.sleep(1.0)  # a fourth would come within 0.2 s
    attempts = receiver.received
    assert len(attempts) == 3
    assert len({attempt.headers["webhook-id"] for attempt in attempts}) == 1
    assert len({attempt.body for attempt in attempts}) == 1
    secret = house.http.get("/v1/webhooks/secret").raise_for_status().json()["secret"]
    for attempt in attempts:
        event = Webhook(secret).verify(attempt.body, attempt.headers)
        assert event["type"] == "video.completed"
        assert (event["data"]["id"], event["data"]["status"]) == (video, "completed")
    assert house.figure("deliver", 'longtake_webhook_delivery_seconds_count{outcome="pending"}') >= 2


def test_events_of_a_video_arrive_as_it_grows(house: House) -> None:
    kinds = ["video.in_progress", "video.chunk.completed", "video.completed"]
    with Receiver() as receiver:
        house.finished(house.submit(num_frames=24, refine=False, webhook={"url": receiver.url, "events": kinds}))
        until(lambda: len(receiver.received) == 4, "every event")
    assert sorted(json.loads(got.body)["type"] for got in receiver.received) == sorted([*kinds, kinds[1]])
