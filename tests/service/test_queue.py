"""Wake-ups are JSON on their queues, and one that cannot be sent does no harm."""

from __future__ import annotations

import json
import time

import redis

from service.queue import Waker, make_celery
from service.settings import Settings
from tests.support.servers import free_port


def test_a_wake_up_carries_no_truth(settings: Settings, client: redis.Redis) -> None:
    with make_celery(settings) as app:
        waker = Waker(app)
        waker.wake(2)
        waker.wake_delivery()
    messages = [json.loads(text) for text in client.lrange("longtake:celery:render", 0, -1)]
    assert len(messages) == 2 and client.llen("longtake:celery:deliver") == 1
    assert {message["content-type"] for message in messages} == {"application/json"}
    assert {message["headers"]["task"] for message in messages} == {"longtake.render"}


def test_a_broker_that_is_away_costs_a_moment_and_no_error(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    start = time.monotonic()
    with make_celery(away) as app:
        Waker(app).wake()
    assert time.monotonic() - start < 3
