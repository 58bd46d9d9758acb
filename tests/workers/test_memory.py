"""What `workers.memory` promises."""

from __future__ import annotations

import threading
import time

from workers.memory import Recent


def test_the_value_used_longest_ago_goes_first() -> None:
    recent: Recent[str, bytes] = Recent(capacity=10, weigh=len)
    recent.put("a", b"1234")
    recent.put("b", b"1234")
    recent.get("a")
    recent.put("c", b"1234")
    assert recent.get("b") is None
    assert (recent.get("a"), recent.get("c")) == (b"1234", b"1234")


def test_one_value_larger_than_all_room_is_still_kept() -> None:
    recent: Recent[str, bytes] = Recent(capacity=1, weigh=len)
    recent.put("a", b"1234")
    assert recent.get("a") == b"1234"


def test_a_value_is_made_once_however_many_threads_ask() -> None:
    recent: Recent[str, object] = Recent(capacity=4)
    made: list[object] = []

    def load() -> object:
        time.sleep(0.02)
        made.append(object())
        return made[-1]

    threads = [threading.Thread(target=recent.get_or, args=("model", load)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_what_nobody_used_for_long_goes_when_the_next_one_comes() -> None:
    recent: Recent[str, bytes] = Recent(capacity=10, weigh=len, keeps_s=0.2)
    recent.put("over", b"1")
    recent.put("used", b"2")
    time.sleep(0.15)
    assert recent.get("used") == b"2"
    time.sleep(0.1)
    recent.put("new", b"3")
    assert (recent.get("over"), recent.get("used"), recent.get("new")) == (None, b"2", b"3")
