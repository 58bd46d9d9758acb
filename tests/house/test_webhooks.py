"""What a receiver of webhooks gets, judged by the library of the specification."""

from __future__ import annotations

import json

import pytest
from standardwebhooks import Webhook

from tests.support.house import House
from tests.support.receiver import Receiver

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("worker")]


def test_a_receiver_that_fails_twice_gets_the_third(house: House) -> None:
    with Receiver(500, 503) as receiver:
        video = house.submit(num_frames=16, refine=False, webhook={"url": receiver.url})
        house.finished(video)
        attempts = receiver.await_received(3)
    assert [attempt.status for attempt in attempts] == [500, 503, 204]
    assert len({attempt.headers["webhook-id"] for attempt in attempts}) == 1
    assert len({attempt.body for attempt in attempts}) == 1
    secret = house.http.get("/v1/webhooks/secret").raise_for_status().json()["secret"]
    for attempt in attempts:
        event = Webhook(secret).verify(attempt.body, attempt.headers)
        assert event["type"] == "video.completed"
        assert (event["data"]["id"], event["data"]["status"]) == (video, "completed")


def test_events_of_a_video_arrive_as_it_grows(house: House) -> None:
    kinds = ["video.in_progress", "video.chunk.completed", "video.completed"]
    with Receiver() as receiver:
        house.finished(house.submit(num_frames=24, refine=False, webhook={"url": receiver.url, "events": kinds}))
        received = receiver.await_received(4)
    assert sorted(json.loads(got.body)["type"] for got in received) == sorted([*kinds, kinds[1]])
